#!/bin/sh
# Makes the scenario's certificates in the current folder, with a policy whose pins are the keys that were made.
#
# pki.sh SCENARIO: the folder of the scenario
set -eu
scenario=$1
exec 2>pki.log

key() { # NAME, and EC or the bits of RSA
    case $2 in
    EC) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
    *) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1.key" ;;
    esac
}

authority() { # NAME SUBJECT
    key "$1" EC
    openssl req -x509 -new -key "$1.key" -subj "/O=Observer Lab/CN=$2" -days 3650 -out "$1.pem" \
        -addext keyUsage=critical,keyCertSign,cRLSign
}

leaf() { # NAME KEY ISSUER NAMES OPTION...: what ISSUER vouches for, or nobody where it is `itself`
    name=$1 issuer=$3 names=$4
    key "$name" "$2"
    shift 4
    openssl req -new -key "$name.key" -subj "/O=Observer Lab/CN=$name" -out "$name.csr"
    cat >"$name.cnf" <<CONFIG
[ca]
default_ca = lab
[lab]
database = $name.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
default_days = 90
policy = any
[any]
organizationName = optional
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names
CONFIG
    : >"$name.index"
    if [ "$issuer" = itself ]; then
        set -- -selfsign -keyfile "$name.key" "$@"
    else
        set -- -cert "$issuer.pem" -keyfile "$issuer.key" "$@"
    fi
    openssl ca -batch -notext -config "$name.cnf" -extensions leaf "$@" -in "$name.csr" -out "$name.pem"
}

# Base64 of the SHA-256 of a key, as policies and browsers pin it.
pin() { # NAME
    openssl pkey -in "$1.key" -pubout -outform der | openssl dgst -sha256 -binary | openssl base64
}

authority root "Lab Root"
authority stranger "Unknown Root"
every=IP:10.77.1.200
for host in $(sed 's/#.*//' "$scenario/hosts" | awk '{ print $2 }' | sort -u); do
    every="$every,DNS:$host"
done
leaf good EC root "$every"
leaf good-rsa 2048 root "$every"
leaf rsa1024 1024 root DNS:rsa1024.test
leaf expired EC root DNS:expired.test -startdate 20240101000000Z -enddate 20250101000000Z
leaf self-signed EC itself DNS:self-signed.test
leaf hidden EC itself DNS:hidden.test
leaf wrong-name EC root DNS:another.test
leaf untrusted EC stranger DNS:untrusted.test,DNS:fallback.test
# A server that sends its root, too, leaves no doubt about who vouches for it.
cat stranger.pem >>untrusted.pem
leaf pinned EC root DNS:pinned.test
leaf other-key EC root DNS:other-key.test
leaf own-trust EC itself DNS:own-trust.test
leaf phone EC root DNS:phone.test
# Small on purpose, and found fast.
openssl dhparam -dsaparam -out dh1024.pem 1024
pin good >chromium.pin
sed -e "s|@pinned@|$(pin pinned)|" -e "s|@good@|$(pin good)|" -e "s|@own-trust@|$(pin own-trust)|" \
    "$scenario/policy.toml" >policy.toml
# Clients run under uids of their own, and one of them has the phone's key.
chmod a+r ./*.pem phone.key chromium.pin
