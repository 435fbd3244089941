# SPDX-License-Identifier: Apache-2.0
"""Compares our numbers with PyKMIP's where it is installed; exits with 77 (skip) where not."""
import re
import subprocess
import sys

sys.path.append('/usr/lib/python3/dist-packages')  # where Debian has it
try:
    from kmip.core import enums
except ImportError:
    sys.exit(77)

# Enumerations and values that PyKMIP spells in another way.
CLASSES = {'TAG': 'Tags', 'DRBG_ALGORITHM': 'DRBGAlgorithm', 'RNG_ALGORITHM': 'RNGAlgorithm',
           'RNG_MODE': 'RNGMode', 'FIPS186_VARIATION': 'FIPS186Variation',
           'NIST_KEY_TYPE': 'NISTKeyType'}
UNDATED = {'TAG', 'RESULT_REASON', 'KEY_WRAP_TYPE', 'ENDPOINT_ROLE'}  # nothing or one version for all there
OWN = {0x420000: 'a default tag', 0x80000000: 'an opaque data type'}  # PyKMIP's own
FIRST_2_1 = 0x420166  # the first tag that came with KMIP 2.1, which PyKMIP does not know


def squeeze(name):
    return re.sub('[^A-Z0-9]', '', name.upper())


def theirs(name):
    """What PyKMIP has of an enumeration, by number, with the version its comments name."""
    cls = getattr(enums, CLASSES.get(name, name.title().replace('_', '')), None)
    if cls is None:
        return None
    text = open(enums.__file__).read()
    text = text[text.index('class %s(' % cls.__name__):]
    text = text[:text.index('\n\n\n')]
    since, found = '1.0', {}
    for line in text.splitlines():
        version = re.match(r'\s+# KMIP (\d\.\d)', line)
        value = re.match(r'\s+\w+\s*=\s*(0x\w+)', line)
        if version:
            since = version.group(1)
        elif value:
            found.setdefault(int(value.group(1), 16), since)
    return cls, found


ours = {}
for row in subprocess.check_output([sys.argv[1], '--dump'], text=True).splitlines():
    group, name, number, since = row.split()
    ours.setdefault(group, {})[int(number, 16)] = (name, since)

wrong = compared = 0
for group, values in ours.items():
    other = theirs(group)
    if other is None:
        print('not in PyKMIP:', group)
        continue
    cls, found = other
    names = {}
    for item in cls.__members__.items():
        names.setdefault(item[1].value, set()).add(squeeze(item[0]))
    for number, (name, since) in values.items():
        if since == '2.1' or (group == 'TAG' and number >= FIRST_2_1):
            continue
        compared += 1
        if number not in found:
            print('PyKMIP has no %s %#x %s' % (group, number, name))
            wrong += 1
        elif group not in UNDATED and since != found[number]:
            print('%s %s: since %s, PyKMIP says %s' % (group, name, since, found[number]))
            wrong += 1
        elif squeeze(name) not in names[number]:
            print('note: %s %#x is %s here, %s there' % (group, number, name, names[number]))
    for number in found:
        if number not in values | OWN:
            print('missing here: %s %#x' % (group, number))
            wrong += 1
print(compared, 'compared,', wrong, 'wrong')
sys.exit(1 if wrong else 0)
