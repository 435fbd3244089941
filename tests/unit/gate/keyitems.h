/* SPDX-License-Identifier: Apache-2.0 */
/* An item of each operation on a key, and keys in any state, all with the same bytes. */
#ifndef GATE_KEYITEMS_H
#define GATE_KEYITEMS_H

#include "rqrig.h"

enum { KEY_MASK = 0x3ff }; /* what each may be used for: everything */

struct date {
	const char *name;
	int64_t when; /* 0: none */
};

extern const struct date no_date, active_now;

/* setup(), for 1.4, and a key that wraps others; ends with teardown(). */
void setup_kek(void);

/* What the templates of items have: dates of the keys that are made. */
extern struct date items_dates[2];

void put_attr_date(const struct date *d);
/* A new key with usage limits and these dates, for 1.4. */
void make_key(char uid[UID_TEXT_LEN + 1], const struct date *first, const struct date *second);
void key_in_state(char uid[UID_TEXT_LEN + 1], enum object_state state);
/* Runs a message of this one item. */
void act(void (*put)(const char *), const char *uid);

void item_encrypt(const char *uid);
void item_decrypt(const char *uid);
void item_mac(const char *uid);
void item_mac_verify(const char *uid);
void item_get(const char *uid);
void item_get_wrapped(const char *uid);
void item_wrap_another(const char *uid);
void item_get_attributes(const char *uid);
void item_get_attribute_list(const char *uid);
void item_add_attribute(const char *uid);
void item_modify_attribute(const char *uid);
void item_delete_attribute(const char *uid);
void item_activate(const char *uid);
void item_deactivate(const char *uid);
void item_compromise(const char *uid);
void item_destroy(const char *uid);
void item_derive(const char *uid);
void item_re_key(const char *uid);
void item_check(const char *uid);
void item_allocate(const char *uid);
void item_obtain_lease(const char *uid);
void item_archive(const char *uid);
void item_export(const char *uid);
void item_recover(const char *uid);
void item_import_new(const char *uid);
void item_import_as_made(const char *uid);
void item_import_compromised(const char *uid);
void item_import_unwrapped(const char *uid);
void item_add_start(const char *uid);
void item_add_end(const char *uid);
void item_set_attribute(const char *uid);
void item_adjust_attribute(const char *uid);
/* These make one, whatever uid is. */
void item_create(const char *uid);
void item_register(const char *uid);
void item_import(const char *uid);

#endif
