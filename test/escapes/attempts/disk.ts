/**
 * More of the disk than was given. What is written is bounded, so that the host lives on where no limit is kept.
 */
import { Effect, Stream } from "effect"
import { escaped, type Family, held, python } from "../Attempt.js"

const { raw } = String

const DISK_MB = 64
const WALL = "a disk of its own for each workspace; else the watch over it"

/** Four times that much is tried. */
const alone = { memoryMb: 256, fileSizeMb: 1024, openFiles: 1024, diskMb: DISK_MB }

const options = { alone, limit: "disk", ended: "disk" } as const

const filling = raw`
LIMIT, GOAL = ${DISK_MB}, ${4 * DISK_MB}
def judge(mebibytes, error):
    if mebibytes >= GOAL:
        escaped("%d MiB of %d" % (mebibytes, LIMIT))
    else:
        held("%s after %d MiB" % (code_of(error), mebibytes))
`

export const disk: Family = {
  name: "disk",
  title: "The disk",
  attempts: [
    python(
      "disk-file",
      "Fill the disk with one file",
      WALL,
      filling + raw`
written = 0
try:
    with open("/workspace/fill", "wb", buffering=0) as file:
        while written < GOAL << 20:
            written += file.write(os.urandom(4096) * 64)
    failure = None
except OSError as error:
    failure = error
judge(written >> 20, failure)
os.unlink("/workspace/fill")
`,
      options
    ),
    python(
      "disk-files",
      "Fill the disk with many files",
      WALL,
      filling + raw`
written, failure = 0, None
try:
    while written < GOAL << 20:
        with open("/workspace/%d" % written, "wb", buffering=0) as file:
            written += file.write(os.urandom(4096) * 16)
except OSError as error:
    failure = error
judge(written >> 20, failure)
`,
      options
    ),
    python(
      "disk-deleted",
      "Fill the disk with files that have no name any more",
      WALL,
      filling + raw`
written, failure, kept = 0, None, []
try:
    while written < GOAL << 20:
        file = os.open("/workspace", os.O_TMPFILE | os.O_RDWR, 0o600)
        kept.append(file)
        for _ in range(4):
            written += os.write(file, os.urandom(4096) * 64)
except OSError as error:
    failure = error
judge(written >> 20, failure)
`,
      options
    ),
    python(
      "disk-reserved",
      "Take room on the disk without writing",
      WALL,
      filling + raw`
file = os.open("/workspace/reserved", os.O_RDWR | os.O_CREAT)
taken, failure = 0, None
try:
    while taken < GOAL:
        os.posix_fallocate(file, taken << 20, 1 << 20)
        taken += 1
except OSError as error:
    failure = error
judge(taken, failure)
os.unlink("/workspace/reserved")
`,
      options
    ),
    python(
      "disk-inodes",
      "Fill the disk with names",
      WALL,
      raw`
made, failure = 0, None
try:
    while made < 20000:
        if made % 1000 == 0:
            os.mkdir("/workspace/%d" % (made // 1000))
        os.close(os.open("/workspace/%d/%d" % (made // 1000, made), os.O_WRONLY | os.O_CREAT))
        made += 1
except OSError as error:
    failure = error
escaped("%d files" % made) if failure is None else held("%s after %d files" % (code_of(failure), made))
`,
      options
    ),
    {
      id: "disk-upload",
      title: "Fill the disk from outside",
      wall: WALL,
      alone,
      limit: "disk",
      make: ({ sandboxId, sdk }) =>
        Effect.match(
          sdk.writeFileStream(
            sandboxId,
            "large",
            Stream.take(Stream.repeatEffect(Effect.sync(() => new Uint8Array(2 ** 20))), 4 * DISK_MB)
          ),
          {
            onFailure: (error) => held("code" in error ? String(error.code) : error._tag),
            onSuccess: () => escaped(`${4 * DISK_MB} MiB were taken`)
          }
        )
    }
  ]
}
