/* SPDX-License-Identifier: MIT */
/* Loans: payloads that are written where they will stay. A loan holds a reference of its bus' memory, so that
 * it can be refused and given back after the bus has ended. */
#include "bus/bus.h"
#include "bus/message.h"
#include "bus/publish.h"

int32_t evb_loan(evb_bus *bus, size_t size, void **ret_data)
{
    int32_t status = evb__bus_enter(bus);
    void *data;

    if (status != EVB_OK) return status;
    if (ret_data == NULL) return EVB_EINVAL;
    if (size > bus->max_payload) return EVB_ETOOBIG;
    if (evb__bus_refuses(bus)) return EVB_ECLOSED; /* pairs with destroy and drain */
    if (evb__loan_new(bus, size, &data) == NULL) return EVB_ENOMEM;
    (void)evb__add_rlx(&bus->refs, 1); /* the owner's is still there */
    *ret_data = data;
    return EVB_OK;
}

int32_t evb_publish_loan(evb_bus *bus, const char *topic, void *data, size_t size,
                         const evb_publish_opts *opts)
{
    int32_t status;

    if (data == NULL) return EVB_EINVAL;
    status = evb__publish_named(bus, topic, data, size, opts, true);
    if (status >= 0) evb__bus_unref(bus); /* the loan's: it may be the last one */
    return status;
}

void evb_loan_cancel(evb_bus *bus, void *data)
{
    struct evb__message *loan;
    size_t lent;

    if (data == NULL || evb__bus_enter(bus) != EVB_OK) return;
    loan = evb__loan_of(bus, data, &lent);
    if (loan == NULL) return;
    evb__loan_take(loan);
    evb__message_unref(loan);
    evb__bus_unref(bus);
}
