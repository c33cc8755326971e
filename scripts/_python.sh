# Sourced by the scripts beside it: sets $python to a Python 3.11 or newer, or says how to get one.
python=
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "evalsvc: no Python 3.11 or newer found on PATH; on Debian: apt-get install -y python3 python3-pip" >&2
  exit 69
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
