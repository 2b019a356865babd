# Tells what there is in an image: a line for each interpreter that starts, as kind, path and version.
# It must do with any POSIX shell, and finds them where PATH says.
IFS=:
for folder in $PATH; do
  for python in "$folder"/python3 "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do
    if [ -x "$python" ]; then
      version=$("$python" -I -c 'import ctypes, json, resource, select, socket, sys; print(*sys.version_info[:3], sep=".")' 2>/dev/null </dev/null)
      echo "python $python $version"
    fi
  done
  if [ -x "$folder/node" ]; then
    version=$("$folder/node" --version 2>/dev/null </dev/null)
    echo "node $folder/node ${version#v}"
  fi
  if [ -x "$folder/bash" ]; then
    version=$("$folder/bash" --norc --noprofile -c 'echo "${BASH_VERSION%%(*}"' 2>/dev/null </dev/null)
    echo "bash $folder/bash $version"
  fi
done
echo end
