/**
 * Copies files and directories between this machine and a sandbox, in pieces: none is ever whole in memory.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { FileInfo } from "../File.js"
import type { Sandbox } from "../Sandbox.js"
import { CliError, Status } from "./CliError.js"
import * as Input from "./Input.js"
import * as Local from "./Local.js"
import * as Output from "./Output.js"
import type { Progress } from "./Progress.js"

type Failure = RequestError | CliError

const WORKSPACE = "/workspace"

/** The last part of a path, of either kind of machine. */
const nameOf = (path: string): string => path.replace(/\/+$/, "").split("/").at(-1) ?? ""

const within = (directory: string, name: string): string => `${directory.replace(/\/+$/, "")}/${name}`

/** What is at a path of the sandbox, if anything. */
const find = (sandbox: Sandbox, path: string): Effect.Effect<Option.Option<FileInfo>, RequestError> =>
  sandbox.statFile(path).pipe(
    Effect.map(Option.some),
    Effect.catchIf(
      (error) => error._tag === "SandboxError" && error.code === "file_not_found",
      () => Effect.succeed(Option.none<FileInfo>())
    )
  )

/** Where something by this name goes: into a directory, if that is what is there. */
const placeOf = (sandbox: Sandbox, remote: string, name: string): Effect.Effect<string, RequestError> =>
  remote === "" || remote.endsWith("/")
    ? Effect.succeed(within(remote === "" ? WORKSPACE : remote, name))
    : Effect.map(
      find(sandbox, remote),
      (found) => Option.exists(found, (info) => info.isDirectory) ? within(remote, name) : remote
    )

/**
 * Copies standard input to a file of the sandbox.
 */
export const uploadInput = (sandbox: Sandbox, remote: string, progress: Progress): Effect.Effect<void, Failure> =>
  Effect.suspend(() =>
    remote === "" || remote.endsWith("/")
      ? new CliError({ message: `Standard input has no name: write ${sandbox.id}:PATH.`, status: Status.usage })
      : Effect.asVoid(sandbox.writeFileStream(remote, progress.counting(remote, Input.stream)))
  )

/**
 * Copies a file, or a directory with all that is in it, to the sandbox. Symbolic links below it are left out, and named.
 */
export const upload = (sandbox: Sandbox, local: string, remote: string, progress: Progress) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* Effect.mapError(fs.stat(local), Local.unreadable(local))
    const send = (from: string, to: string) =>
      Effect.asVoid(sandbox.writeFileStream(
        to,
        progress.counting(from, Stream.mapError(fs.stream(from), Local.unreadable(from)))
      ))
    const isLink = (from: string) => Effect.isSuccess(fs.readLink(from))
    const walk = (from: string, to: string): Effect.Effect<void, Failure> =>
      Effect.gen(function*() {
        yield* sandbox.makeDirectory(to)
        const names = yield* Effect.mapError(fs.readDirectory(from), Local.unreadable(from))
        for (const name of names.sort()) {
          const child = path.join(from, name)
          if (yield* isLink(child)) {
            yield* progress.skipped(child, "a symbolic link")
            continue
          }
          const { type } = yield* Effect.mapError(fs.stat(child), Local.unreadable(child))
          yield* type === "Directory"
            ? walk(child, within(to, name))
            : type === "File"
            ? send(child, within(to, name))
            : progress.skipped(child, "neither a file nor a directory")
        }
      })
    const target = yield* placeOf(sandbox, remote, nameOf(path.resolve(local)))
    yield* info.type === "Directory" ? walk(local, target) : send(local, target)
  })

/** Names come from the sandbox, whose code may have made them up to land elsewhere. */
const isPlain = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name)

/**
 * Copies a file of the sandbox to standard output.
 */
export const downloadOutput = (sandbox: Sandbox, remote: string): Effect.Effect<void, Failure> =>
  Stream.runForEach(sandbox.readFileStream(remote), (bytes) => Output.write("stdout", bytes))

/**
 * Copies a file, or a directory with all that is in it, from the sandbox. A file appears when it is whole. Symbolic links
 * below are left out, and named: one could lead the next file out of the directory.
 */
export const download = (sandbox: Sandbox, remote: string, local: string, progress: Progress) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const source = remote === "" ? WORKSPACE : remote
    const info = yield* sandbox.statFile(source)
    const existing = yield* Local.stat(local)
    const isInto = Option.exists(existing, (there) => there.type === "Directory")
    const target = isInto || local.endsWith("/") ? path.join(local, nameOf(info.path)) : local

    const receive = (from: string, to: string) =>
      Effect.scoped(Effect.gen(function*() {
        const bytes = progress.counting(from, sandbox.readFileStream(from))
        const there = yield* Local.stat(to)
        // A device or a pipe cannot be replaced.
        const isSpecial = Option.exists(there, (info) => info.type !== "File")
        const temporary = isSpecial ? to : path.join(path.dirname(to), `.${path.basename(to)}.${process.pid}.part`)
        const file = yield* Effect.mapError(fs.open(temporary, { flag: isSpecial ? "w" : "wx" }), Local.unwritable(to))
        if (!isSpecial) {
          yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(temporary, { force: true })))
        }
        yield* Stream.runForEach(bytes, (piece) => Effect.mapError(file.writeAll(piece), Local.unwritable(to)))
        if (!isSpecial) {
          const real = Option.isSome(there) ? yield* Effect.mapError(fs.realPath(to), Local.unwritable(to)) : to
          yield* Effect.mapError(fs.rename(temporary, real), Local.unwritable(to))
        }
      }))

    const walk = (from: string, to: string): Effect.Effect<void, Failure, FileSystem.FileSystem> =>
      Effect.gen(function*() {
        const { files } = yield* sandbox.listFiles(from)
        yield* Effect.mapError(fs.makeDirectory(to, { recursive: true }), Local.unwritable(to))
        for (const { name, type } of files) {
          const child = within(from, name)
          if (!isPlain(name)) {
            yield* progress.skipped(child, "its name is not one for a file here")
          } else if (type === "directory") {
            yield* walk(child, path.join(to, name))
          } else if (type === "file") {
            yield* receive(child, path.join(to, name))
          } else {
            yield* progress.skipped(child, type === "symlink" ? "a symbolic link" : "neither a file nor a directory")
          }
        }
      })
    yield* info.isDirectory ? walk(source, target) : receive(source, target)
  })
