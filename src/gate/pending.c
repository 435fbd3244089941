/* SPDX-License-Identifier: Apache-2.0 */
/* Refused certificates whose owner was there. */
#include "gate/pending.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/certificate.h"

enum { IPV6_NETWORK = 8 };

struct pending {
	struct pending_entry entries[PENDING_MAX]; /* the first `count` */
	size_t count;
	uint64_t order;
};

struct pending *
pending_new(void)
{
	return alloc_zero(sizeof(struct pending));
}

/* The last one takes the place of the one that goes. */
static void
drop(struct pending *p, struct pending_entry *en)
{
	certificate_unref(en->certificate);
	*en = p->entries[--p->count];
	p->entries[p->count] = (struct pending_entry){0};
}

void
pending_free(struct pending *p)
{
	while (p != NULL && p->count > 0)
		drop(p, &p->entries[0]);
	alloc_free(p);
}

/* The number of the entry, or count. */
static size_t
place(const struct pending *p, const uint8_t *sha256)
{
	size_t i = 0;

	while (i < p->count && memcmp(p->entries[i].sha256, sha256, TLS_DIGEST_LEN) != 0)
		i++;
	return i;
}

/* "192.0.2.1:1234" or "[2001:db8::1]:1234" without the port. */
static void
host_of(const char *address, char host[PENDING_ADDRESS_MAX])
{
	const char *end;

	if (*address == '[')
		address++;
	end = strchr(address, ']');
	if (end == NULL)
		end = strrchr(address, ':');
	memset(host, 0, PENDING_ADDRESS_MAX);
	strncpy(host, address, PENDING_ADDRESS_MAX - 1);
	if (end != NULL && end - address < PENDING_ADDRESS_MAX)
		host[end - address] = '\0';
}

/* Whoever has one IPv6 address has all of its /64. */
static void
network_of(const char *host, uint8_t network[9])
{
	struct in6_addr a6;
	struct in_addr a4;

	memset(network, 0, 9);
	if (inet_pton(AF_INET, host, &a4) == 1) {
		network[0] = 4;
		memcpy(network + 1, &a4, sizeof(a4));
	} else if (inet_pton(AF_INET6, host, &a6) == 1) {
		network[0] = 6;
		memcpy(network + 1, &a6, IPV6_NETWORK);
	}
}

static size_t
crowd(const struct pending *p, const uint8_t *network)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++)
		n += memcmp(p->entries[i].network, network, sizeof(p->entries[i].network)) == 0;
	return n;
}

/* Not seen for longest of the network with the most, or of the one that is named. */
static struct pending_entry *
victim(struct pending *p, const uint8_t *only)
{
	struct pending_entry *found = NULL;
	size_t most = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct pending_entry *en = &p->entries[i];
		size_t n = crowd(p, en->network);

		if (only != NULL && memcmp(en->network, only, sizeof(en->network)) != 0)
			continue;
		if (n > most || (n == most && en->order < found->order)) {
			most = n;
			found = en;
		}
	}
	return found;
}

static struct pending_entry *
make(struct pending *p, const struct tls_peer *peer, const char *host)
{
	uint8_t network[9];
	struct pending_entry *en;

	network_of(host, network);
	if (crowd(p, network) >= PENDING_PER_NETWORK)
		drop(p, victim(p, network));
	else if (p->count == PENDING_MAX)
		drop(p, victim(p, NULL));
	en = &p->entries[p->count++];
	en->certificate = certificate_ref(peer->proven);
	memcpy(en->sha256, peer->sha256, sizeof(en->sha256));
	memcpy(en->network, network, sizeof(network));
	en->first = clock_wall();
	return en;
}

/* To the front, whether it was there or not. */
static void
note_address(struct pending_entry *en, const char *host)
{
	size_t at = 0;

	while (at + 1 < PENDING_ADDRESSES && strcmp(en->addresses[at], host) != 0)
		at++;
	memmove(en->addresses[1], en->addresses[0], at * sizeof(en->addresses[0]));
	memcpy(en->addresses[0], host, sizeof(en->addresses[0]));
}

void
pending_note(struct pending *p, const struct tls_peer *peer, const char *address)
{
	char host[PENDING_ADDRESS_MAX];
	struct pending_entry *en;
	size_t at;

	if (peer->proven == NULL)
		return;
	host_of(address, host);
	at = place(p, peer->sha256);
	en = at < p->count ? &p->entries[at] : make(p, peer, host);
	en->why = peer->verdict;
	en->last = clock_wall();
	en->order = ++p->order; /* many come within a second */
	en->count++;
	note_address(en, host);
}

void
pending_forget(struct pending *p, const uint8_t sha256[TLS_DIGEST_LEN])
{
	size_t at = place(p, sha256);

	if (at < p->count)
		drop(p, &p->entries[at]);
}

const struct pending_entry *
pending_at(const struct pending *p, size_t n)
{
	return n < p->count ? &p->entries[n] : NULL;
}

const struct pending_entry *
pending_find(const struct pending *p, const uint8_t sha256[TLS_DIGEST_LEN])
{
	return pending_at(p, place(p, sha256));
}
