/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong in a handshake. */
#include "failure.h"

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/metric.h"

/* OpenSSL's reasons that are no library's own (ERR_R_...) have flags above all of the alerts. */
static bool
is_alert(int reason)
{
	return reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + UINT8_MAX;
}

unsigned
failure_label(int reason)
{
	if (is_alert(reason))
		return LABEL_FAILURE_ALERT;
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_UNKNOWN_PROTOCOL:
		return LABEL_FAILURE_NOT_TLS;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_INAPPROPRIATE_FALLBACK:
		return LABEL_FAILURE_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
		return LABEL_FAILURE_ALGORITHMS;
	case SSL_R_EXCESSIVE_MESSAGE_SIZE:
	case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
	case SSL_R_DATA_LENGTH_TOO_LONG:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
		return LABEL_FAILURE_TOO_LONG;
	case SSL_R_BAD_SIGNATURE:
	case SSL_R_DIGEST_CHECK_FAILED:
		return LABEL_FAILURE_PROOF;
	default:
		return LABEL_FAILURE_MALFORMED;
	}
}
