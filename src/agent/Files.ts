/**
 * File operations by the agent, which sees the files as the code in the sandbox sees them.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { SandboxError } from "../Errors.js"
import type { FileEvent } from "../File.js"
import { FileInfo } from "../File.js"
import { FileReach } from "../internal/fileReach.js"
import { makeInbox } from "../internal/inbox.js"
import * as Reusing from "../internal/reusing.js"
import * as Lent from "./Lent.js"
import type { Lender } from "./Lent.js"
import * as LentWriter from "./LentWriter.js"
import { LEND_FROM } from "./Limits.js"
import type { EngineMessage } from "./Protocol.js"
import { FILE_WINDOW, WATCH_WINDOW } from "./Protocol.js"

const CHUNK_BYTES = 256 * 1024

type FileMessage = Extract<EngineMessage, { readonly id: number }>

/**
 * A request that waits for what the agent says to it. `credit` and `data` are for transfers.
 */
export interface Pending {
  /** `fd`: the descriptor of the agent at which it lends the file, here and in `credit`. */
  readonly reply: (value: unknown, fd?: number) => void
  /** `index`: that of the file at fault, of many. */
  readonly failed: (error: SandboxError, index?: number) => void
  readonly data?: (bytes: Buffer, last: boolean) => void
  readonly credit?: (bytes: number, fd?: number) => void
  readonly contents?: (sizes: ReadonlyArray<number>, bytes: Buffer) => void
  readonly events?: (events: ReadonlyArray<FileEvent>, bytes: number) => void
}

/**
 * What the connection gives to the operations.
 */
export interface RequestPort {
  readonly sandboxId: string
  /** Makes a number for a request, and remembers whom to tell. Fails when the agent is gone. */
  readonly register: (pending: Pending) => Effect.Effect<number, SandboxError>
  /** Forgets a request. Says whether it was still there. */
  readonly forget: (id: number) => boolean
  readonly send: (message: FileMessage, blob?: Uint8Array) => void
  /** Fails when the agent is gone, with why. */
  readonly present: Effect.Effect<void, SandboxError>
  /** How files are had that the agent lends, if there is a way. */
  readonly borrow: Lender | undefined
}

/**
 * A file with its content.
 */
export interface FileBytes {
  readonly path: string
  readonly content: Uint8Array
}

/**
 * What a caller calls one file of many, by its index.
 */
export type FieldOf = (index: number) => string

/** How far a request reaches, for its message. */
const reach = Effect.map(FileReach, (reach) => reach === "sandbox" ? { whole: true } : {})

/**
 * The operations. Paths are absolute; those on one file reach as far as {@link FileReach} says, those on many to
 * `/workspace`. Each fails with the `SandboxError` that says what the file system said.
 */
export interface Files {
  readonly stat: (path: string) => Effect.Effect<FileInfo, SandboxError>
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<FileInfo>, SandboxError>
  readonly remove: (path: string) => Effect.Effect<void, SandboxError>
  readonly makeDirectory: (path: string, parents: boolean) => Effect.Effect<FileInfo, SandboxError>
  readonly move: (path: string, to: string) => Effect.Effect<FileInfo, SandboxError>
  /** The bytes of a file. No more than `FILE_WINDOW` bytes are in flight. */
  readonly read: (path: string) => Stream.Stream<Uint8Array, SandboxError>
  /**
   * Replaces a file by all of `content`, or leaves it as it is: when `content` fails, or the fiber is interrupted,
   * nothing remains of it.
   */
  readonly write: <E>(
    path: string,
    content: Stream.Stream<Uint8Array, E>,
    options: { readonly createParents: boolean }
  ) => Effect.Effect<FileInfo, SandboxError | E>
  /**
   * Writes files, each as `write` does, in this order, in one message; gives their paths. At the first that cannot be
   * written it stops: nothing happens to that one and those after it. The error's `field` is what `field` calls it.
   */
  readonly writeBatch: (
    files: ReadonlyArray<FileBytes>,
    options: { readonly createParents: boolean; readonly field: FieldOf }
  ) => Effect.Effect<ReadonlyArray<string>, SandboxError>
  /**
   * The contents of files, from the first on, as many of them as have no more than `FILE_WINDOW` bytes together: none when
   * the first has more alone. One that cannot be read fails all.
   */
  readonly readBatch: (
    paths: ReadonlyArray<string>,
    options: { readonly field: FieldOf }
  ) => Effect.Effect<ReadonlyArray<Uint8Array>, SandboxError>
  /** What happens to the entries of a directory, from the moment at which `started` is run: before the first of it. */
  readonly watch: (
    path: string,
    recursive: boolean,
    started: Effect.Effect<void>
  ) => Stream.Stream<FileEvent, SandboxError>
}

const isPaths = Schema.is(Schema.Array(Schema.String))
const isFileInfo = Schema.is(FileInfo)
const isFileList = Schema.is(Schema.Array(FileInfo))

/**
 * Makes the operations of one connection.
 */
export const makeFiles = (port: RequestPort): Files => {
  // Made when it happens: an error keeps the fiber that has made it, by its stack.
  const unexpected = Effect.failSync(() =>
    new SandboxError({
      code: "protocol_violation",
      message: "The sandbox answered a file request with something else.",
      sandboxId: port.sandboxId
    })
  )

  const ask = (message: (id: number, whole: { readonly whole?: boolean }) => FileMessage) =>
    Effect.gen(function*() {
      const whole = yield* reach
      const answer = yield* Deferred.make<unknown, SandboxError>()
      const id = yield* port.register({
        reply: (value) => Deferred.unsafeDone(answer, Effect.succeed(value)),
        failed: (error) => Deferred.unsafeDone(answer, Effect.fail(error))
      })
      port.send(message(id, whole))
      return yield* Deferred.await(answer).pipe(Effect.ensuring(Effect.sync(() => port.forget(id))))
    })

  const askInfo = (message: Parameters<typeof ask>[0]) =>
    Effect.flatMap(ask(message), (value) => isFileInfo(value) ? Effect.succeed(value) : unexpected)

  const cancel = (id: number) =>
    Effect.sync(() => {
      if (port.forget(id)) {
        port.send({ op: "file.cancel", id })
      }
    })

  const lend = port.borrow === undefined ? {} : { lend: true as const }

  /** A file that the agent lends, if it does, and if the engine can have it. */
  const borrow = (fd: number | undefined, access: Lent.Access) =>
    fd === undefined || port.borrow === undefined
      ? Effect.succeedNone
      : Effect.option(port.borrow.open(fd, access))

  const openRead = (path: string, reuse: boolean) =>
    Effect.gen(function*() {
      let allowed = FILE_WINDOW
      let id = 0
      const opened = yield* Deferred.make<number | undefined>()
      const inbox = makeInbox<Uint8Array, SandboxError>((taken) => {
        allowed += taken
        port.send({ op: "file.credit", id, bytes: taken })
      })
      id = yield* Effect.acquireRelease(
        port.register({
          reply: (_, fd) => Deferred.unsafeDone(opened, Effect.succeed(fd)),
          failed: (error) => {
            port.forget(id)
            inbox.fail(error)
            Deferred.unsafeDone(opened, Effect.succeed(undefined))
          },
          data: (bytes, last) => {
            allowed -= bytes.length
            if (allowed < 0) {
              inbox.fail(
                new SandboxError({
                  code: "protocol_violation",
                  message: "The sandbox sent more of a file than it was asked for.",
                  sandboxId: port.sandboxId
                })
              )
            }
            if (bytes.length > 0) inbox.push(bytes, bytes.length)
            if (last) {
              port.forget(id)
              inbox.end()
            }
          }
        }),
        cancel
      )
      port.send({ op: "file.read", id, path, credit: FILE_WINDOW, ...lend, ...yield* reach })
      if (port.borrow === undefined) return inbox.stream
      const fd = yield* Deferred.await(opened)
      const file = yield* borrow(fd, "read")
      if (Option.isSome(file)) {
        return Stream.catchAll(Lent.read(file.value, reuse), ({ reason }) =>
          Stream.fromEffect(Effect.zipRight(
            port.present,
            new SandboxError({ code: "file_error", message: `${path} failed: ${reason}.`, sandboxId: port.sandboxId })
          )))
      }
      if (fd !== undefined) port.send({ op: "file.credit", id, bytes: FILE_WINDOW })
      return inbox.stream
    })

  const openWatch = (path: string, recursive: boolean, started: Effect.Effect<void>) =>
    Effect.gen(function*() {
      let id = 0
      const inbox = makeInbox<ReadonlyArray<FileEvent>, SandboxError>((taken) =>
        port.send({ op: "file.credit", id, bytes: taken })
      )
      const answer = yield* Deferred.make<void, SandboxError>()
      id = yield* Effect.acquireRelease(
        port.register({
          reply: () => Deferred.unsafeDone(answer, Effect.void),
          failed: (error) => {
            port.forget(id)
            Deferred.unsafeDone(answer, Effect.fail(error))
            inbox.fail(error)
          },
          events: inbox.push
        }),
        cancel
      )
      port.send({ op: "file.watch", id, path, recursive, credit: WATCH_WINDOW, ...yield* reach })
      yield* Effect.zipRight(Deferred.await(answer), started)
      return Stream.flattenIterables(inbox.stream)
    })

  const write = <E>(
    path: string,
    content: Stream.Stream<Uint8Array, E>,
    options: { readonly createParents: boolean }
  ) =>
    Effect.scoped(Effect.gen(function*() {
      let window = FILE_WINDOW
      let wake: (() => void) | undefined
      let lentAt: number | undefined
      const answer = yield* Deferred.make<unknown, SandboxError | E>()
      const id = yield* Effect.acquireRelease(
        port.register({
          reply: (value) => Deferred.unsafeDone(answer, Effect.succeed(value)),
          failed: (error) => Deferred.unsafeDone(answer, Effect.fail(error)),
          credit: (bytes, fd) => {
            window += bytes
            lentAt ??= fd
            wake?.()
          }
        }),
        cancel
      )
      /** Waits until so much may be sent; all of the window when all that was sent has been written. */
      const room = (bytes: number) =>
        Effect.async<void>((resume) => {
          const look = () => {
            if (window >= bytes) {
              wake = undefined
              resume(Effect.void)
            }
          }
          wake = look
          look()
        })
      /** Undefined until the agent may have lent the file; none when it cannot be had, or not any more. */
      let writer: Option.Option<LentWriter.LentWriter> | undefined
      const offered = () => writer !== undefined && Option.isSome(writer) ? writer.value.free() : undefined
      // Frames hold what they carry until it has been written; a lent file does not.
      const source = port.borrow === undefined ? content : Reusing.reusing(content, offered)
      const keep = source === content ? (bytes: Uint8Array) => bytes : (bytes: Uint8Array) => bytes.slice()
      let sent = 0
      const sendBytes = Effect.fnUntraced(function*(bytes: Uint8Array) {
        for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
          if (window <= 0) yield* room(1)
          const piece = bytes.subarray(offset, offset + CHUNK_BYTES)
          window -= piece.length
          sent += piece.length
          port.send({ op: "file.data", id, last: false }, keep(piece))
        }
      })
      const openWriter = Effect.gen(function*() {
        if (port.borrow === undefined) return Option.none()
        // Until all is written that went by frames. If the agent lends the file, it has said so by then.
        yield* room(FILE_WINDOW)
        const [file, direct] = yield* Effect.zip(
          borrow(lentAt, "write"),
          // Only a disk of its own has the host's memory behind it; elsewhere, this would be as slow as the host's disk.
          port.borrow.sync ? borrow(lentAt, "direct") : Effect.succeedNone,
          { concurrent: true }
        )
        if (Option.isNone(file)) return Option.none()
        return Option.some(yield* LentWriter.make(file.value, direct, sent, port.borrow))
      })
      const give = Effect.fnUntraced(function*(rest: ReadonlyArray<Uint8Array>) {
        if (rest.length > 0) {
          writer = Option.none()
          yield* Effect.forEach(rest, sendBytes, { discard: true })
        }
      })
      const take = Effect.fnUntraced(function*(bytes: Uint8Array) {
        if (writer === undefined && sent >= LEND_FROM) writer = yield* openWriter
        if (writer === undefined || Option.isNone(writer)) return yield* sendBytes(bytes)
        yield* give(yield* writer.value.push(bytes))
      })
      const finish = Effect.gen(function*() {
        if (writer !== undefined && Option.isSome(writer)) yield* give(yield* writer.value.end)
        port.send({ op: "file.data", id, last: true })
      })
      port.send({ op: "file.write", id, path, createParents: options.createParents, ...lend, ...yield* reach })
      const upload = Stream.runForEach(source, take).pipe(
        Effect.zipRight(finish),
        Effect.catchAllCause((cause) => Deferred.failCause(answer, cause))
      )
      // Beside the wait for the answer: an early one (no such folder, disk full) must not wait for the rest of the content.
      yield* Effect.forkScoped(upload)
      const value = yield* Deferred.await(answer)
      port.forget(id)
      return isFileInfo(value) ? value : yield* unexpected
    }))

  /** A request about many files. What it fails with says which of them is at fault. */
  const askMany = <A>(
    field: FieldOf,
    message: (id: number) => FileMessage,
    pending: (succeed: (value: A) => void) => Partial<Pending>,
    blob?: Uint8Array
  ) =>
    Effect.scoped(Effect.gen(function*() {
      const answer = yield* Deferred.make<A, SandboxError>()
      const id = yield* Effect.acquireRelease(
        port.register({
          reply: () => {},
          failed: (error, index) =>
            Deferred.unsafeDone(
              answer,
              Effect.fail(
                index === undefined
                  ? error
                  : new SandboxError({
                    code: error.code,
                    message: error.message,
                    sandboxId: port.sandboxId,
                    field: field(index)
                  })
              )
            ),
          ...pending((value) => Deferred.unsafeDone(answer, Effect.succeed(value)))
        }),
        cancel
      )
      port.send(message(id), blob)
      const value = yield* Deferred.await(answer)
      port.forget(id)
      return value
    }))

  const writeBatch: Files["writeBatch"] = (files, { createParents, field }) => {
    const paths = files.map(({ path }) => path)
    const sizes = files.map(({ content }) => content.length)
    return askMany<unknown>(
      field,
      (id) => ({ op: "file.writeMany", id, paths, sizes, createParents }),
      (succeed) => ({ reply: succeed }),
      Buffer.concat(files.map(({ content }) => content))
    ).pipe(
      Effect.flatMap((written) =>
        isPaths(written) && written.length === paths.length ? Effect.succeed(written) : unexpected
      )
    )
  }

  const readBatch: Files["readBatch"] = (paths, { field }) =>
    askMany<readonly [sizes: ReadonlyArray<number>, bytes: Buffer]>(
      field,
      (id) => ({ op: "file.readMany", id, paths, most: FILE_WINDOW }),
      (succeed) => ({ contents: (sizes, bytes) => succeed([sizes, bytes]) })
    ).pipe(Effect.flatMap(([sizes, bytes]) => {
      let end = 0
      const contents = sizes.map((size) => bytes.subarray(end, end += size))
      return sizes.length <= paths.length && end === bytes.length && end <= FILE_WINDOW
        ? Effect.succeed(contents)
        : unexpected
    }))

  return {
    writeBatch,
    readBatch,
    stat: (path) => askInfo((id, whole) => ({ op: "file.stat", id, path, ...whole })),
    list: (path) =>
      Effect.flatMap(
        ask((id, whole) => ({ op: "file.list", id, path, ...whole })),
        (value) => isFileList(value) ? Effect.succeed(value) : unexpected
      ),
    remove: (path) => Effect.asVoid(ask((id, whole) => ({ op: "file.delete", id, path, ...whole }))),
    makeDirectory: (path, parents) =>
      askInfo((id, whole) => ({ op: "file.makeDirectory", id, path, parents, ...whole })),
    move: (path, to) => askInfo((id, whole) => ({ op: "file.move", id, path, to, ...whole })),
    read: (path) =>
      Reusing.make(Stream.unwrapScoped(openRead(path, false)), () => Stream.unwrapScoped(openRead(path, true))),
    write,
    watch: (path, recursive, started) => Stream.unwrapScoped(openWatch(path, recursive, started))
  }
}
