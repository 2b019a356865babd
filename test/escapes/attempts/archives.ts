/**
 * Archives whose entries mean to land elsewhere.
 */
import { bash, type Family, python } from "../Attempt.js"

const { raw } = String

const WALL = "nothing of the host is there to land on"

export const archives: Family = {
  name: "archives",
  title: "Archives",
  attempts: [
    python(
      "archives-tar",
      "Unpack an archive with paths that climb, and absolute ones",
      WALL,
      raw`
import io, tarfile
target = H["drop"] + "/planted"
with tarfile.open("/workspace/evil.tar", "w") as archive:
    for name in ("../" * 30 + target[1:], target, "a/../../../../../../.." + target):
        entry = tarfile.TarInfo(name)
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, H["drop"]
    archive.addfile(link)
    entry = tarfile.TarInfo("link/planted")
    entry.size = 5
    archive.addfile(entry, io.BytesIO(b"hello"))
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, H["canaries"][0]
    archive.addfile(hard)
os.makedirs("/workspace/unpacked", exist_ok=True)
done = subprocess.run(["tar", "-xPf", "/workspace/evil.tar", "-C", "/workspace/unpacked"], capture_output=True, text=True)
with tarfile.open("/workspace/evil.tar") as archive:
    for entry in archive:
        try:
            archive.extract(entry, "/workspace/unpacked")
        except Exception as error:
            held(type(error).__name__)
if os.path.exists(target) and not os.path.realpath(target).startswith(("/workspace", "/tmp", "/dev/shm")):
    escaped("it landed in " + target)
held("tar ended with %d" % done.returncode)
`
    ),
    python(
      "archives-zip",
      "Unpack a zip with paths that climb",
      WALL,
      raw`
import zipfile
target = H["drop"] + "/planted"
with zipfile.ZipFile("/workspace/evil.zip", "w") as archive:
    archive.writestr("../" * 30 + target[1:], "hello")
    archive.writestr(target, "hello")
with zipfile.ZipFile("/workspace/evil.zip") as archive:
    for entry in archive.infolist():
        for path in (entry.filename, "/workspace/unpacked/" + entry.filename):
            refused("unpack", lambda: open(path, "wb").write(archive.read(entry)))
`
    ),
    python(
      "archives-bomb",
      "Unpack more than there is room for",
      "limit of the size of a file",
      raw`
import zlib
packer = zlib.compressobj(9)
piece = packer.compress(bytes(1 << 20))
unpacker = zlib.decompressobj()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def unpack():
    with open("/workspace/bomb", "wb") as file:
        for _ in range(512):
            file.write(bytes(1 << 20))
    return os.path.getsize("/workspace/bomb")
refused("512 MiB in one file", unpack)
os.unlink("/workspace/bomb")
`,
      { alone: {} }
    ),
    bash(
      "archives-copy",
      "Have links followed when a folder is copied",
      WALL,
      raw`
mkdir -p tree; path=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["canaries"][0])' "$H")
ln -sfn "$path" tree/link; ln -sfn "$(dirname "$path")" tree/folder
refused cp -rL tree copied
refused tar -chf tree.tar tree
refused cat tree/folder/canary
rm -rf tree copied tree.tar`
    )
  ]
}
