#!/usr/bin/env bash
# Makes the certificates of the TLS trials anew, in this folder; needs openssl. Nothing outside the
# tests trusts them, so the key is no secret.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/ca.cnf" <<END
[ca]
default_ca = d
[d]
database = $work/index.txt
serial = $work/serial
new_certs_dir = $work
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
END
: >"$work/index.txt"
echo 01 >"$work/serial"
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n' >"$work/ca.ext"
printf 'subjectAltName=DNS:localhost,DNS:models.test,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$work/server.ext"
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
sign() { openssl ca -batch -config "$work/ca.cnf" -notext -startdate 20200101000000Z "$@"; }
key "$work/ca.key"
key key.pem
openssl req -new -key "$work/ca.key" -subj '/CN=fault list CA' -out "$work/ca.csr"
openssl req -new -key key.pem -subj '/CN=fault list server' -out "$work/server.csr"
sign -selfsign -keyfile "$work/ca.key" -in "$work/ca.csr" -enddate 21200101000000Z -extfile "$work/ca.ext" -out ca.pem
issued=(-cert ca.pem -keyfile "$work/ca.key" -in "$work/server.csr" -extfile "$work/server.ext")
sign "${issued[@]}" -enddate 21200101000000Z -out good.pem
sign "${issued[@]}" -enddate 20200102000000Z -out expired.pem
sign -selfsign -keyfile key.pem -in "$work/server.csr" -enddate 21200101000000Z -extfile "$work/server.ext" -out stranger.pem
