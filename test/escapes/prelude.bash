# What stands before each program in bash that tries to get out.
held() { printf 'HELD %s\n' "$*"; }
escaped() { printf 'ESCAPED %s\n' "$*"; }
# Runs a command; held when it fails.
refused() { local said; if said=$("$@" 2>&1); then escaped "$* worked: ${said:0:200}"; else held "$1: ${said##*: }"; fi; }
