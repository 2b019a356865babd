/**
 * A workspace that is a file system of its own, so that the kernel keeps it within its limits: bytes, and the number of
 * files. It is an ext4 in a file beside the folder, mounted there by a loop device (loop(4)) while its sandbox is up. The
 * file is sparse: it takes what is in it.
 *
 * Only root may do that, and not everywhere (a container mostly has no loop devices). Then there is the folder alone, and
 * whoever made it has to watch it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import { acquireRelease } from "../internal/finalizing.js"
import type { Blanks } from "./Blank.js"
import * as Ext4 from "./Ext4.js"
import * as Host from "./Host.js"
import * as Mounts from "./Mounts.js"
import * as Owner from "./Owner.js"
import * as Packages from "./Packages.js"
import type { User } from "./Users.js"

const MIB = 1024 * 1024

/** How many bytes of a workspace there are for each file that it may hold. */
const BYTES_PER_FILE = 16 * 1024

const FEWEST_FILES = 512

/**
 * What the files of a workspace take, or may take, together.
 */
export interface Room {
  readonly bytes: number
  /** Files, directories, links and whatever else has a name. */
  readonly files: number
}

/**
 * What a workspace of so many MiB may hold.
 */
export const roomOf = (diskMb: number): Room => ({
  bytes: diskMb * MIB,
  files: Math.max(FEWEST_FILES, Math.floor(diskMb * MIB / BYTES_PER_FILE))
})

/** Why workspaces cannot be file systems of their own here, and what would help. */
export interface Unsupported {
  readonly reason: string
  readonly fix: string
}

/**
 * Whether workspaces can be file systems of their own here. On the left why not.
 */
export type Support = Either.Either<string, Unsupported>

const MECHANISM = "a file system of its own (ext4 in a loop device)"

const TOOLS = [["mkfs.ext4", "e2fsprogs"], ["e2fsck", "e2fsprogs"], ["mount", "mount"], ["umount", "mount"], [
  "losetup",
  "mount"
]] as const

const imageOf = (workspace: string): string => `${workspace}.img`

const INODE_BYTES = 256
const BLOCK_BYTES = 4096
const INODES_PER_BLOCK = BLOCK_BYTES / INODE_BYTES
const GROUP_BYTES = BLOCK_BYTES * BLOCK_BYTES * 8

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit

/**
 * The size of a file system for so much room, and its inodes. Each group of blocks has as many as any other, and they fill
 * whole blocks (Documentation/filesystems/ext4/blockgroup.rst): rounded down, so that a limit is never more than was said.
 */
const geometry = ({ bytes, files }: Room) => {
  const size = roundUp(bytes + files * INODE_BYTES, BLOCK_BYTES)
  const groups = Math.ceil(size / GROUP_BYTES)
  const inodes = Math.floor(files / groups / INODES_PER_BLOCK) * INODES_PER_BLOCK * groups
  return { size, inodes }
}

/**
 * Makes the file system. No journal: what a crash of the host would leave in disorder is put in order before the next
 * mount. No blocks are kept for root, and no room for growth.
 */
const makeImage = Effect.fnUntraced(function*(
  workspace: string,
  user: User,
  room: Room,
  { blanks, kept }: { readonly blanks?: Blanks; readonly kept: boolean } = { kept: true }
) {
  const image = imageOf(workspace)
  const { inodes, size } = geometry(room)
  const kind = `${size} bytes, ${inodes} inodes`
  // The owner of its root is that of the first; it is set when it is mounted.
  if (blanks !== undefined && (yield* blanks.write(kind, image, size, kept))) return
  yield* Host.untilDone({
    try: async () => {
      const file = await Fs.open(image, "wx", 0o600)
      await file.truncate(size).finally(() => file.close())
    },
    catch: String
  })
  yield* Mounts.tool("mkfs.ext4", [
    ...["-q", "-F", "-b", String(BLOCK_BYTES), "-I", String(INODE_BYTES), "-N", String(inodes), "-m", "0"],
    ...["-O", "^has_journal,^resize_inode", "-E", `root_owner=${user.uid}:${user.gid}`],
    image
  ])
  if (blanks !== undefined) yield* blanks.learn(kind, image)
})

/**
 * `noinit_itable`: the kernel need not write zeros into the table of inodes, there are only zeros in a sparse file. Not
 * `discard`: it makes the removal of many small files eight times as slow; see {@link trim}. `nobarrier`: what is synced
 * is in the host's memory, and has its room on the host's disk; when it gets there is for the host to say.
 */
const MOUNT_OPTIONS = "loop,nosuid,nodev,noatime,noinit_itable,nobarrier,errors=remount-ro"

/** How long others may have a file system mounted that has been unmounted here, before it is mounted beside them. */
const RELEASE = Schedule.upTo(Schedule.spaced("20 millis"), "5 seconds")

const isClean = (image: string): Effect.Effect<boolean> =>
  Effect.map(Ext4.read(image), Option.exists(({ clean }) => clean))

/**
 * Waits until nobody has a file system mounted any more that is not mounted here, for a time. Until then its image says what
 * it did before.
 */
const released = (image: string): Effect.Effect<void, string> => {
  const isInUse = Effect.flatMap(isClean(image), (clean) => clean ? Effect.succeed(false) : Mounts.isAttached(image))
  return Effect.asVoid(Effect.repeat(isInUse, { schedule: RELEASE, while: (inUse) => inUse }))
}

/**
 * Puts a file system in order that was not unmounted, because the host went down.
 *
 * One that is in use looks the same. It may be in use after it was unmounted here: in the mount namespace of a sandbox that
 * is just ending, or of a container, which has copied all mounts. To check it then would destroy it; to mount it is safe,
 * for `mount` finds its loop device, and the kernel its superblock.
 */
const repair = Effect.fnUntraced(function*(image: string) {
  if (yield* isClean(image)) return
  yield* released(image)
  if ((yield* isClean(image)) || (yield* Mounts.isAttached(image))) return
  yield* Effect.logWarning("A workspace was not unmounted in order and is checked").pipe(
    Effect.annotateLogs({ image })
  )
  // The status 1 says that errors were found and corrected (e2fsck(8)).
  yield* Mounts.tool("e2fsck", ["-f", "-y", image], [0, 1])
})

const mountImage = Effect.fnUntraced(function*(workspace: string) {
  const image = imageOf(workspace)
  if (yield* Mounts.isMountPoint(workspace)) yield* Mounts.unmount(workspace)
  yield* repair(image)
  const folder = yield* Host.lstat(workspace)
  yield* Mounts.tool("mount", ["-t", "ext4", "-o", MOUNT_OPTIONS, image, workspace])
  if (!(yield* Mounts.isMountPoint(workspace))) {
    return yield* Effect.fail(`nothing is mounted at ${workspace}`)
  }
  yield* Effect.tryPromise({ try: () => Fs.chmod(workspace, 0o700), catch: String })
  yield* removeLostAndFound(workspace)
  yield* handOver(workspace, folder)
})

/**
 * Gives everything in a copy of another's workspace to the user that its folder was made for. The root of it is the last
 * that changes hands: what was cut short is done again.
 */
const handOver = Effect.fnUntraced(function*(workspace: string, folder: Option.Option<Stats>) {
  const root = yield* Host.lstat(workspace)
  if (Option.isNone(folder) || Option.isNone(root) || folder.value.uid === root.value.uid) return
  const { gid, uid } = folder.value
  const names = yield* Effect.tryPromise({ try: () => Fs.readdir(workspace), catch: String })
  if (names.length === 0) {
    return yield* Effect.tryPromise({ try: () => Fs.chown(workspace, uid, gid), catch: String })
  }
  yield* Mounts.slowTool("chown", ["-hR", `${uid}:${gid}`, "--", workspace])
})

/** A folder that every new ext4 has, for what a check finds; here it would only puzzle. The user may have one by this name. */
const removeLostAndFound = Effect.fnUntraced(function*(workspace: string) {
  const path = Path.join(workspace, "lost+found")
  const stats = yield* Host.lstat(path)
  if (Option.exists(stats, ({ uid }) => uid === 0)) yield* Effect.ignore(Effect.tryPromise(() => Fs.rmdir(path)))
})

/** How much room of deleted files may stay in the image of a sandbox that is down, in bytes. */
const WASTE = 64 * MIB

/** Gives room that deleted files have left in the image back to the host, when it is worth it. */
const trim = Effect.fnUntraced(function*(workspace: string) {
  const image = yield* Host.stat(imageOf(workspace))
  const room = yield* used(workspace)
  if (Option.isNone(image) || Option.isNone(room) || image.value.blocks * 512 < room.value.bytes + WASTE) return
  yield* Effect.ignore(Mounts.tool("fstrim", [workspace]))
})

const failed = (what: string, workspace: string) => (complaint: string): SandboxError =>
  new SandboxError({
    code: /no space left|enospc/i.test(complaint) ? "disk_full" : "start_failed",
    message: `The disk of the workspace ${workspace} could not be ${what}: ${complaint}`
  })

/**
 * Makes the disk of a workspace, whose folder is there. Fails with `disk_full` and `start_failed`.
 *
 * @param how `kept`: whether it is to be there also when the host has gone down.
 */
export const make = (
  workspace: string,
  user: User,
  room: Room,
  how: { readonly blanks: Blanks; readonly kept: boolean }
): Effect.Effect<void, SandboxError> =>
  Effect.zipRight(
    requireHostRoom(Path.dirname(workspace), MIB),
    Effect.mapError(makeImage(workspace, user, room, how), failed("made", workspace))
  ).pipe(
    Effect.withSpan("Disk.make")
  )

/**
 * Mounts the disk of a workspace until the scope closes, by when nothing may use it any more. Gives whether it has one:
 * a workspace that is a folder alone stays as it is.
 *
 * Fails with `start_failed`.
 */
export const open = (workspace: string): Effect.Effect<boolean, SandboxError, Scope.Scope> =>
  Effect.gen(function*() {
    if (!(yield* Host.exists(imageOf(workspace)))) return false
    yield* acquireRelease(
      Effect.mapError(mountImage(workspace), failed("mounted", workspace)).pipe(
        Effect.onError(() => Effect.whenEffect(Mounts.unmount(workspace), Mounts.isMountPoint(workspace)))
      ),
      () => Effect.zipRight(trim(workspace), Mounts.unmount(workspace))
    )
    return true
  }).pipe(Effect.withSpan("Disk.open"))

/**
 * Makes the disk of a workspace as a copy of that of another, in which nothing runs: its blocks are shared where the file
 * system can, and those that are empty are not copied. It belongs to the user of its own folder from when it is mounted.
 */
export const clone = Effect.fn("Disk.clone")(function*(from: string, to: string) {
  // What the kernel has not written yet is in no image.
  if (yield* Mounts.isMountPoint(from)) yield* Mounts.tool("sync", ["--file-system", from])
  const image = imageOf(to)
  yield* Mounts.slowTool("cp", ["--reflink=auto", "--sparse=always", "--", imageOf(from), image])
  const superblock = yield* Ext4.read(image)
  // That of one that is mounted says so.
  if (!Option.exists(superblock, ({ clean }) => clean)) yield* Mounts.slowTool("e2fsck", ["-f", "-y", image], [0, 1])
})

/**
 * What the files on the disk of a workspace take, whether it is mounted or not, at the cost of one look. None when the
 * workspace is a folder alone.
 */
export const used = Effect.fnUntraced(function*(workspace: string): Effect.fn.Return<Option.Option<Room>> {
  const image = imageOf(workspace)
  if (!(yield* Host.exists(image))) return Option.none()
  if (yield* Mounts.isMountPoint(workspace)) {
    const found = yield* Effect.option(Effect.tryPromise(() => Fs.statfs(workspace)))
    // Otherwise it may have been unmounted meanwhile, and this was the host's.
    if (yield* Mounts.isMountPoint(workspace)) {
      return Option.map(found, ({ bfree, blocks, bsize, ffree, files }) => ({
        bytes: Math.max(0, (blocks - bfree - 1) * bsize),
        files: Math.max(0, files - ffree - Ext4.RESERVED_INODES)
      }))
    }
  }
  yield* Effect.ignore(released(image))
  return Option.map(yield* Ext4.read(image), ({ usedBytes, usedFiles }) => ({ bytes: usedBytes, files: usedFiles }))
})

/** What is kept free on the host's disk, in bytes, and as a part of it: the lesser counts. */
const HOST_RESERVE = { bytes: 128 * MIB, part: 0.02 }

/**
 * Fails with `disk_full` when the disk of the host that a folder is on has no room for so many bytes, or would be nearly
 * full with them.
 */
export const requireHostRoom = Effect.fnUntraced(function*(folder: string, bytes: number, sandboxId?: string) {
  const found = yield* Effect.option(Effect.tryPromise(() => Fs.statfs(folder)))
  if (Option.isNone(found)) return
  const { bavail, blocks, bsize } = found.value
  if (bavail * bsize - bytes >= Math.min(HOST_RESERVE.bytes, HOST_RESERVE.part * blocks * bsize)) return
  return yield* new SandboxError({
    code: "disk_full",
    message: "The disk of the machine that the sandbox is on is nearly full. Free some room there.",
    ...(sandboxId === undefined ? {} : { sandboxId })
  })
})

/**
 * Writes out what the kernel has not yet written of the files of a workspace.
 */
export const flush = (workspace: string): Effect.Effect<void> =>
  Effect.ignore(Mounts.tool("sync", ["--file-system", workspace]))

const unsupported = (reason: string, fix: string): Support => Either.left({ reason, fix })

/**
 * Tries whether workspaces can be file systems of their own here, by making a small one in a folder.
 */
export const support = (directory: string): Effect.Effect<Support> =>
  Effect.gen(function*() {
    if (Host.userId() !== 0) return unsupported("only root may mount file systems", "run the engine as root")
    for (const [name, debianPackage] of TOOLS) {
      if (Option.isNone(yield* Mounts.findTool(name))) {
        return unsupported(`${name} is not installed`, yield* Packages.installCommand([debianPackage]))
      }
    }
    const prefix = Path.join(directory, `${yield* Owner.nameHere}-disk-`)
    const folder = yield* acquireRelease(
      Effect.tryPromise({ try: () => Fs.mkdtemp(prefix), catch: String }),
      (path) => Effect.ignore(Effect.tryPromise(() => Fs.rm(path, { recursive: true, force: true })))
    )
    const workspace = Path.join(folder, "workspace")
    yield* Effect.tryPromise({ try: () => Fs.mkdir(workspace), catch: String })
    yield* makeImage(workspace, { uid: 0, gid: 0 }, roomOf(8))
    yield* acquireRelease(mountImage(workspace), () => Mounts.unmount(workspace))
    return Either.right(MECHANISM)
  }).pipe(
    Effect.scoped,
    Effect.catchAll((complaint) =>
      Effect.succeed(
        unsupported(complaint, "give the engine loop devices and the right to mount (modprobe loop; CAP_SYS_ADMIN)")
      )
    ),
    Effect.withSpan("Disk.support")
  )
