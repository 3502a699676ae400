#!/bin/bash
# autobahn.sh URL OUTDIR [driver options]: see README.md
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=${AUTOBAHN_ENV:-$here/../../target/autobahn}
python=${PYTHON:-python3}
if [ ! -e "$env/ready" ]; then
  rm -rf "$env"
  "$python" -m venv "$env"
  "$env/bin/pip" install -q --disable-pip-version-check setuptools==65.5.0 autobahn==0.10.9 \
    txaio==2.1.0 twisted==22.10.0 six==1.16.0 wsaccel==0.6.7
  "$env/bin/pip" install -q --disable-pip-version-check --no-deps --target "$env/cases" autobahntestsuite==25.10.1
  # Python 2 to 3, the case classes only; then what 2to3 leaves: literals in UTF-8 that must be read
  # as octets, a base class order that Python 3 refuses, a case that is in no list and needs an old
  # zope.interface, and the one division that must stay whole
  "$env/bin/python" -W ignore -m lib2to3 -w -n --no-diffs "$env/cases/autobahntestsuite/case" >"$env/2to3.log" 2>&1
  sed -i '1s#coding=utf-8#coding=latin-1#' "$env"/cases/autobahntestsuite/case/case6_*.py
  sed -i 's#(object, Case, *)#(Case,)#' "$env"/cases/autobahntestsuite/case/case*.py
  sed -i '/import case9_9_1\|case9_9_1 import/d' "$env/cases/autobahntestsuite/case/__init__.py"
  sed -i 's#) / self\.p\.autoFragmentSize#) // self.p.autoFragmentSize#' \
    "$env/cases/autobahntestsuite/case/case10_1_1.py"
  touch "$env/ready"
fi
exec "$env/bin/python" -W ignore "$here/driver.py" --package "$env/cases/autobahntestsuite" "$@"
