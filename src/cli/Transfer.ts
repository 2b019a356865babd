/**
 * Copies files and directories between this machine and a sandbox, in pieces: none is ever whole in memory.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { downloadDirectory, uploadDirectory } from "../Directory.js"
import type { RequestError } from "../Errors.js"
import type { FileInfo } from "../File.js"
import { downloadFile, uploadFile } from "../LocalFile.js"
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

/** An error about a file of this machine, which the SDK calls `field`, with the exit status for that. */
const ofLocal = (field: string, status: number) => (error: RequestError): Failure =>
  error._tag === "SandboxError" && error.field === field ? new CliError({ message: error.message, status }) : error

/**
 * Copies a file, or a directory with all that is in it, to the sandbox.
 */
export const upload = (sandbox: Sandbox, local: string, remote: string, progress: Progress) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* Effect.mapError(fs.stat(local), Local.unreadable(local))
    const target = yield* placeOf(sandbox, remote, nameOf(path.resolve(local)))
    yield* info.type === "Directory"
      ? Stream.runForEach(
        uploadDirectory(sandbox, local, target),
        (event) => progress.told(event, path.join(local, path.relative(path.resolve(local), event.local)))
      ).pipe(Effect.mapError(ofLocal("from", Status.noInput)))
      : Effect.flatMap(progress.one(local), (onProgress) => uploadFile(sandbox, local, target, { onProgress })).pipe(
        Effect.mapError(ofLocal("from", Status.noInput))
      )
  })

/**
 * Copies a file of the sandbox to standard output.
 */
export const downloadOutput = (sandbox: Sandbox, remote: string): Effect.Effect<void, Failure> =>
  Stream.runForEach(sandbox.readFileStream(remote), (bytes) => Output.write("stdout", bytes))

/**
 * Copies a file, or a directory with all that is in it, from the sandbox. A file appears when it is whole. Symbolic links
 * that lead out of the directory are left out, and named.
 */
export const download = (sandbox: Sandbox, remote: string, local: string, progress: Progress) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const source = remote === "" ? WORKSPACE : remote
    const info = yield* sandbox.statFile(source)
    const existing = yield* Local.stat(local)
    const isInto = Option.exists(existing, (there) => there.type === "Directory")
    const target = isInto || local.endsWith("/") ? path.join(local, nameOf(info.path)) : local

    const copying = info.isDirectory
      ? Stream.runForEach(downloadDirectory(sandbox, source, target), (event) => progress.told(event, event.path))
      : Effect.flatMap(
        progress.one(source),
        (onProgress) => downloadFile(sandbox, source, target, { maxBytes: Number.MAX_SAFE_INTEGER, onProgress })
      )
    yield* Effect.mapError(copying, ofLocal("to", Status.cannotCreate))
  })
