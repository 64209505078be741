#!/usr/bin/env bash
# Makes the certificates that the tests of TLS use, good for a century (or expired in 2021). They protect nothing:
# their keys are public. Needs OpenSSL. The files that it leaves beside itself are committed.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }

sign() { # name, key file, subject, last day, extensions, options of `openssl ca` that name who signs
    local folder="$work/$1.ca"
    mkdir "$folder"
    : > "$folder/index"
    cat > "$folder/config" <<EOF
[ca]
default_ca = default
[default]
database = $folder/index
new_certs_dir = $folder
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[extensions]
$5
EOF
    openssl req -new -key "$2" -subj "/CN=$3" -out "$folder/request"
    openssl ca -batch -notext -md sha256 -in "$folder/request" -out "$1.pem" -startdate 20200101000000Z -enddate "$4" \
        -config "$folder/config" -extensions extensions "${@:6}" 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
}

authority() { # name, subject
    key "$work/$1.key"
    sign "$1" "$work/$1.key" "$2" 21200101000000Z $'basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign' \
        -selfsign -keyfile "$work/$1.key"
}

signed() { # name, subject, last day, extension
    key "$1.key"
    sign "$1" "$1.key" "$2" "$3" $'basicConstraints = critical,CA:FALSE\n'"$4" -cert ca.pem -keyfile "$work/ca.key"
}

here="subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1"
authority ca "Graticule test authority"
authority other-ca "Another test authority"
signed server localhost 21200101000000Z "$here"
signed expired localhost 20210101000000Z "$here"
signed elsewhere elsewhere.example 21200101000000Z "subjectAltName = DNS:elsewhere.example"
signed client "a client" 21200101000000Z "extendedKeyUsage = clientAuth"
