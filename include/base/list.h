/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list.  A zeroed or removed link is "in no list". */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool
list_linked(const struct list *link)
{
	return link->next != NULL;
}

/* Inserts link before pos; with pos a list head that appends. */
static inline void
list_insert_before(struct list *pos, struct list *link)
{
	link->prev = pos->prev;
	link->next = pos;
	pos->prev->next = link;
	pos->prev = link;
}

static inline void
list_append(struct list *head, struct list *link)
{
	list_insert_before(head, link);
}

/* Takes link out of its list; harmless when it is in none. */
static inline void
list_remove(struct list *link)
{
	if (link->next == NULL)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->next = link->prev = NULL;
}

/* Takes the first link out, or returns NULL. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *l = head->next;

	if (l == head)
		return NULL;
	list_remove(l);
	return l;
}

/* Moves all of from behind what to holds; from is empty afterwards. */
static inline void
list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* Allows the loop's body to remove the current link, and only that. */
#define LIST_FOREACH_SAFE(it, nx, head)                                                            \
	for (struct list *it = (head)->next, *nx = it->next; it != (head); it = nx, nx = it->next)

#endif
