/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as vCenter 7.0 sends them (KMIP 1.1, no options in the header, Unique Batch Item IDs
 * that begin with "QLKC"), as annotated hexadecimal.
 */
#include "messages.h"

#include <check.h>
#include <ctype.h>

#include "base/text.h"

/* 104 bytes */
const char msg_discover_versions[] =
    "42007801 00000060" /* Request Message */
    "42007701 00000038" /*   Request Header */
    "42006901 00000020" /*     Protocol Version */
    "42006a02 00000004 0000000100000000" /*       major */
    "42006b02 00000004 0000000100000000" /*       minor */
    "42000d02 00000004 0000000100000000" /*     Batch Count */
    "42000f01 00000018" /*   Batch Item */
    "42005c05 00000004 0000001e00000000" /*     Operation: Discover Versions */
    "42007901 00000000"; /*     Request Payload */

/* 312 bytes */
const char msg_create[] =
    "42007801 00000130" /* Request Message */
    "42007701 00000038" /*   Request Header */
    "42006901 00000020" /*     Protocol Version */
    "42006a02 00000004 0000000100000000" /*       major */
    "42006b02 00000004 0000000100000000" /*       minor */
    "42000d02 00000004 0000000100000000" /*     Batch Count */
    "42000f01 000000e8" /*   Batch Item */
    "42005c05 00000004 0000000100000000" /*     Operation: Create */
    "42009308 00000008 514c4b4301000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 000000c0" /*     Request Payload */
    "42005705 00000004 0000000200000000" /*       Object Type: Symmetric Key */
    "42009101 000000a8" /*       Template-Attribute */
    "42000801 00000030" /*         Attribute */
    /*           Attribute Name: Cryptographic Algorithm */
    "42000a07 00000017 43727970746f6772 617068696320416c 676f726974686d00"
    "42000b05 00000004 0000000300000000" /*           Attribute Value: AES */
    "42000801 00000030" /*         Attribute */
    /*           Attribute Name: Cryptographic Usage Mask */
    "42000a07 00000018 43727970746f6772 6170686963205573 616765204d61736b"
    "42000b02 00000004 0000000c00000000" /*           Attribute Value: Encrypt, Decrypt */
    "42000801 00000030" /*         Attribute */
    /*           Attribute Name: Cryptographic Length */
    "42000a07 00000014 43727970746f6772 6170686963204c65 6e67746800000000"
    "42000b02 00000004 0000010000000000"; /*           Attribute Value: 256 */

/* 440 bytes */
const char msg_add_attributes[] =
    "42007801 000001b0" /* Request Message */
    "42007701 00000038" /*   Request Header */
    "42006901 00000020" /*     Protocol Version */
    "42006a02 00000004 0000000100000000" /*       major */
    "42006b02 00000004 0000000100000000" /*       minor */
    "42000d02 00000004 0000000300000000" /*     Batch Count */
    "42000f01 00000080" /*   Batch Item */
    "42005c05 00000004 0000000d00000000" /*     Operation: Add Attribute */
    "42009308 00000008 514c4b4301000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 00000058" /*     Request Payload */
    "42009407 00000001 3100000000000000" /*       Unique Identifier */
    "42000801 00000040" /*       Attribute */
    /*         Attribute Name: x-Product_Version */
    "42000a07 00000011 782d50726f647563 745f56657273696f 6e00000000000000"
    /*         Attribute Value: 7.0.3 build-19480866 */
    "42000b07 00000014 372e302e33206275 696c642d31393438 3038363600000000"
    "42000f01 00000068" /*   Batch Item */
    "42005c05 00000004 0000000d00000000" /*     Operation: Add Attribute */
    "42009308 00000008 514c4b4302000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 00000040" /*     Request Payload */
    "42009407 00000001 3100000000000000" /*       Unique Identifier */
    "42000801 00000028" /*       Attribute */
    "42000a07 00000008 782d56656e646f72" /*         Attribute Name: x-Vendor */
    /*         Attribute Value: VMware, Inc. */
    "42000b07 0000000c 564d776172652c20 496e632e00000000"
    "42000f01 00000070" /*   Batch Item */
    "42005c05 00000004 0000000d00000000" /*     Operation: Add Attribute */
    "42009308 00000008 514c4b4303000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 00000048" /*     Request Payload */
    "42009407 00000001 3100000000000000" /*       Unique Identifier */
    "42000801 00000030" /*       Attribute */
    "42000a07 00000009 782d50726f647563 7400000000000000" /*         Attribute Name: x-Product */
    /*         Attribute Value: VMware vSphere */
    "42000b07 0000000e 564d776172652076 5370686572650000";

/* 136 bytes */
const char msg_get[] =
    "42007801 00000080" /* Request Message */
    "42007701 00000038" /*   Request Header */
    "42006901 00000020" /*     Protocol Version */
    "42006a02 00000004 0000000100000000" /*       major */
    "42006b02 00000004 0000000100000000" /*       minor */
    "42000d02 00000004 0000000100000000" /*     Batch Count */
    "42000f01 00000038" /*   Batch Item */
    "42005c05 00000004 0000000a00000000" /*     Operation: Get */
    "42009308 00000008 514c4b4301000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 00000010" /*     Request Payload */
    "42009407 00000001 3100000000000000"; /*       Unique Identifier */

/* 216 bytes */
const char msg_activate_with_login[] =
    "42007801 000000d0" /* Request Message */
    "42007701 00000088" /*   Request Header */
    "42006901 00000020" /*     Protocol Version */
    "42006a02 00000004 0000000100000000" /*       major */
    "42006b02 00000004 0000000100000000" /*       minor */
    "42000c01 00000048" /*     Authentication */
    "42002301 00000040" /*       Credential */
    "42002405 00000004 0000000100000000" /*         Credential Type: Username and Password */
    "42002501 00000028" /*         Credential Value */
    "42009907 00000007 7663656e74657200" /*           Username */
    "4200a107 0000000a 6e6f7420666f7220 7573000000000000" /*           Password */
    "42000d02 00000004 0000000100000000" /*     Batch Count */
    "42000f01 00000038" /*   Batch Item */
    "42005c05 00000004 0000001200000000" /*     Operation: Activate */
    "42009308 00000008 514c4b4301000000" /*     Unique Batch Item ID: QLKC and a counter */
    "42007901 00000010" /*     Request Payload */
    "42009407 00000001 3100000000000000"; /*       Unique Identifier */

size_t
hex_read(uint8_t *out, size_t max, const char *hex)
{
	size_t len = 0;
	char pair[3] = {0};

	while (*hex != '\0') {
		if (isspace((unsigned char)*hex)) {
			hex++;
			continue;
		}
		pair[0] = *hex++;
		pair[1] = *hex != '\0' ? *hex++ : '\0';
		ck_assert_uint_lt(len, max);
		ck_assert(text_unhex(out + len, 1, pair));
		len++;
	}
	return len;
}
