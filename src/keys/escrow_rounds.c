/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rounds that a CMS message asks for.  OpenSSL has no call that tells them before it computes
 * them; so they are looked up in the message's encoding, of which this knows the way there alone:
 *
 *     ContentInfo { type, [0] AuthEnvelopedData { version, [0] originator OPTIONAL, SET {
 *         [3] PasswordRecipientInfo { version, [0] { OID, PBKDF2-params }, ... }, ... }, ... } }
 */
#include "escrow_rounds.h"

#include <stdint.h>

#include <openssl/objects.h>
#include <openssl/x509.h>

enum { OF_OPTIONAL = 0, OF_CONTENT = 0, OF_PASSWORD = 3, OF_DERIVATION = 0 };

/* Elements one after the other. */
struct der {
	const uint8_t *at;
	long left;
};

/* The next one.  False: there is none, or it is damaged, or of no definite length. */
static bool
next(struct der *d, int *xclass, int *tag, struct der *inside)
{
	const uint8_t *at = d->at;
	long len;

	if (d->left <= 0 || (ASN1_get_object(&at, &len, tag, xclass, d->left) & ~V_ASN1_CONSTRUCTED) != 0)
		return false;
	*inside = (struct der){at, len};
	d->left -= at + len - d->at;
	d->at = at + len;
	return true;
}

/* The same where it has to be this one. */
static bool
enter(struct der *d, int xclass, int tag, struct der *inside)
{
	int got_class, got_tag;

	return next(d, &got_class, &got_tag, inside) && got_class == xclass && got_tag == tag;
}

/* Takes its rounds from those that are left. */
static bool
is_bounded(struct der *derivation, int64_t *left)
{
	const uint8_t *at = derivation->at, *end = at + derivation->left;
	ASN1_OBJECT *kind = d2i_ASN1_OBJECT(NULL, &at, derivation->left);
	PBKDF2PARAM *p = NULL;
	int64_t n = 0;

	if (kind != NULL && OBJ_obj2nid(kind) == NID_id_pbkdf2)
		p = d2i_PBKDF2PARAM(NULL, &at, end - at);
	if (p != NULL && ASN1_INTEGER_get_int64(&n, p->iter) != 1)
		n = 0;
	PBKDF2PARAM_free(p);
	ASN1_OBJECT_free(kind);
	*left -= n > 0 ? n : 0;
	return n > 0 && *left >= 0;
}

/* All together: a passphrase is tried with one after the other until one opens. */
static bool
are_bounded(struct der *recipients, long max)
{
	int64_t left = max;
	struct der one, version, derivation;
	int xclass, tag;

	while (recipients->left > 0) {
		if (!next(recipients, &xclass, &tag, &one))
			return false;
		if (xclass != V_ASN1_CONTEXT_SPECIFIC || tag != OF_PASSWORD)
			continue;
		if (!enter(&one, V_ASN1_UNIVERSAL, V_ASN1_INTEGER, &version) ||
		    !enter(&one, V_ASN1_CONTEXT_SPECIFIC, OF_DERIVATION, &derivation) ||
		    !is_bounded(&derivation, &left))
			return false;
	}
	return true;
}

/* The recipients of a message in DER. */
static bool
find_recipients(struct der all, struct der *recipients)
{
	struct der info, type, content, data;
	int xclass, tag;

	if (!enter(&all, V_ASN1_UNIVERSAL, V_ASN1_SEQUENCE, &info) ||
	    !enter(&info, V_ASN1_UNIVERSAL, V_ASN1_OBJECT, &type) ||
	    !enter(&info, V_ASN1_CONTEXT_SPECIFIC, OF_CONTENT, &content) ||
	    !enter(&content, V_ASN1_UNIVERSAL, V_ASN1_SEQUENCE, &data) ||
	    !enter(&data, V_ASN1_UNIVERSAL, V_ASN1_INTEGER, &type) ||
	    !next(&data, &xclass, &tag, recipients))
		return false;
	if (xclass == V_ASN1_CONTEXT_SPECIFIC && tag == OF_OPTIONAL &&
	    !next(&data, &xclass, &tag, recipients))
		return false;
	return xclass == V_ASN1_UNIVERSAL && tag == V_ASN1_SET;
}

/* Encoded anew it is in DER, whatever it was read from. */
bool
escrow_rounds_are_bounded(CMS_ContentInfo *cms, long max)
{
	unsigned char *bytes = NULL;
	int len = i2d_CMS_ContentInfo(cms, &bytes);
	struct der recipients;
	bool bounded = len > 0 && find_recipients((struct der){bytes, len}, &recipients) &&
	    are_bounded(&recipients, max);

	OPENSSL_free(bytes);
	return bounded;
}
