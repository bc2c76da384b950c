/* SPDX-License-Identifier: MIT */
/* Bytes of files as pages that disks share until somebody writes: an image costs what differs in it, and a
 * preallocated segment of zeros next to nothing. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

struct page fault_fs_zeros;

/* libc's allocator and not the library's: its failures and leaks are what the tests look at. */
static void *get(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL) abort();
    return p;
}

void *fault_fs_more(void *array, uint32_t count, uint32_t *room, size_t item)
{
    if (count < *room) return array;
    *room = *room == 0 ? 8 : *room * 2;
    array = realloc(array, *room * item);
    if (array == NULL) abort();
    return array;
}

struct blob *fault_fs_blob(const void *bytes, size_t size)
{
    struct blob *blob = get(sizeof *blob + size);

    blob->refs = 1;
    blob->size = size;
    if (size > 0) memcpy(blob->bytes, bytes, size);
    return blob;
}

struct blob *fault_fs_blob_ref(struct blob *blob)
{
    if (blob != NULL) blob->refs++;
    return blob;
}

void fault_fs_blob_drop(struct blob *blob)
{
    if (blob != NULL && --blob->refs == 0) free(blob);
}

static struct page *page_ref(struct page *page)
{
    if (page != NULL && page != &fault_fs_zeros) page->refs++;
    return page;
}

static void page_drop(struct page *page)
{
    if (page != NULL && page != &fault_fs_zeros && --page->refs == 0) free(page);
}

struct content fault_fs_share(const struct content *content)
{
    if (content->table != NULL) content->table->refs++;
    return *content;
}

void fault_fs_drop(struct content *content)
{
    struct table *table = content->table;

    content->table = NULL;
    content->size = 0;
    if (table == NULL || --table->refs > 0) return;
    for (uint32_t i = 0; i < table->count; i++)
        page_drop(table->at[i]);
    free(table);
}

/* The table for writing: nobody else's, with at least `count` pages. */
static struct table *own_table(struct content *content, uint32_t count)
{
    struct table *old = content->table, *table;
    uint32_t had = old != NULL ? old->count : 0;

    if (old != NULL && old->refs == 1 && had >= count) return old;
    count = count > had ? count + count / 2 : had; /* files grow page by page */
    table = get(sizeof *table + count * sizeof table->at[0]);
    table->refs = 1;
    table->count = count;
    for (uint32_t i = 0; i < had; i++)
        table->at[i] = page_ref(old->at[i]);
    content->table = table;
    if (old != NULL) {
        struct content shared = {.table = old};

        fault_fs_drop(&shared);
    }
    return table;
}

static struct page *page_at(const struct content *content, uint64_t index)
{
    return content->table != NULL && index < content->table->count ? content->table->at[index] : NULL;
}

static struct page *own_page(struct content *content, uint32_t index)
{
    struct table *table = own_table(content, index + 1);
    struct page *old = table->at[index], *page;

    if (old != NULL && old != &fault_fs_zeros && old->refs == 1) return old;
    page = get(sizeof *page);
    page->refs = 1;
    if (old != NULL) memcpy(page->bytes, old->bytes, FAULT_FS_PAGE);
    page_drop(old);
    table->at[index] = page;
    return page;
}

/* The bytes from offset to the end of its page, `size` at most. */
static size_t in_page(uint64_t offset, uint64_t size)
{
    uint64_t left = FAULT_FS_PAGE - offset % FAULT_FS_PAGE;

    return (size_t)(size < left ? size : left);
}

void fault_fs_read(const struct content *content, uint64_t offset, void *buf, size_t size)
{
    uint8_t *to = buf;

    while (size > 0) {
        size_t n = in_page(offset, size);
        const struct page *page = page_at(content, offset / FAULT_FS_PAGE);

        if (page == NULL)
            memset(to, 0, n);
        else
            memcpy(to, page->bytes + offset % FAULT_FS_PAGE, n);
        to += n;
        offset += n;
        size -= n;
    }
}

void fault_fs_write(struct content *content, uint64_t offset, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        size_t n = in_page(offset, size);

        memcpy(own_page(content, (uint32_t)(offset / FAULT_FS_PAGE))->bytes + offset % FAULT_FS_PAGE, from,
               n);
        from += n;
        offset += n;
        size -= n;
    }
}

bool fault_fs_is_hole(const struct content *content, uint32_t index)
{
    const struct page *page = page_at(content, index);

    return page == NULL || page == &fault_fs_zeros;
}

void fault_fs_erase(struct content *content, uint64_t offset, uint64_t size)
{
    uint64_t all = content->table != NULL ? (uint64_t)content->table->count * FAULT_FS_PAGE : 0;

    if (offset >= all) return;
    if (size > all - offset) size = all - offset;
    while (size > 0) {
        size_t n = in_page(offset, size);
        uint32_t index = (uint32_t)(offset / FAULT_FS_PAGE);

        if (!fault_fs_is_hole(content, index))
            memset(own_page(content, index)->bytes + offset % FAULT_FS_PAGE, 0, n);
        offset += n;
        size -= n;
    }
}

void fault_fs_resize(struct content *content, uint64_t size)
{
    uint32_t keep = (uint32_t)((size + FAULT_FS_PAGE - 1) / FAULT_FS_PAGE);

    content->size = size;
    if (content->table == NULL) return;
    if (keep < content->table->count) {
        struct table *table = own_table(content, 0);

        for (uint32_t i = keep; i < table->count; i++)
            page_drop(table->at[i]);
        table->count = keep;
    }
    if (size % FAULT_FS_PAGE != 0) fault_fs_erase(content, size, FAULT_FS_PAGE - size % FAULT_FS_PAGE);
}

uint64_t fault_fs_pages_missing(const struct content *content, uint64_t offset, uint64_t size)
{
    uint64_t missing = 0;

    if (size == 0) return 0;
    for (uint64_t i = offset / FAULT_FS_PAGE; i <= (offset + size - 1) / FAULT_FS_PAGE; i++)
        missing += page_at(content, i) == NULL;
    return missing;
}

void fault_fs_reserve(struct content *content, uint64_t offset, uint64_t size)
{
    uint32_t last;

    if (fault_fs_pages_missing(content, offset, size) == 0) return;
    last = (uint32_t)((offset + size - 1) / FAULT_FS_PAGE);
    (void)own_table(content, last + 1);
    for (uint32_t i = (uint32_t)(offset / FAULT_FS_PAGE); i <= last; i++)
        if (content->table->at[i] == NULL) content->table->at[i] = &fault_fs_zeros;
}

void fault_fs_take_page(struct content *content, const struct content *from, uint32_t index)
{
    struct page *page = page_ref(page_at(from, index)), *old = page_at(content, index);

    if (page != NULL || old != NULL) own_table(content, index + 1)->at[index] = page;
    page_drop(old);
}

uint64_t fault_fs_pages_used(const struct content *content)
{
    uint64_t used = 0;

    for (uint32_t i = 0; content->table != NULL && i < content->table->count; i++)
        used += content->table->at[i] != NULL;
    return used;
}
