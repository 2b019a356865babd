/**
 * Runs effects and streams for callers who know promises, async iterables and abort signals, and ends all of them when
 * it is closed.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type AnySandboxSDKError, type RequestError, SandboxSDKError } from "../Errors.js"
import { makeIterator, type StreamIterator } from "./streamIterator.js"

const disconnected = (): SandboxSDKError =>
  new SandboxSDKError({
    code: "disconnected",
    message: "This SandboxSDK has been closed by disconnect(); make a new one."
  })

/**
 * Streams, which are loaded when one is needed.
 */
export const streams = Effect.promise(() => import("./promiseStreams.js"))

/**
 * Something that was started: how it ends, and the way to end it.
 */
export interface Running<A> {
  /** Rejects with the very error: never a wrapper around it. */
  readonly result: Promise<A>
  /** Interrupts it; resolves when it is over, however it ends. */
  readonly stop: () => Promise<void>
}

/**
 * A value that is held until it is released.
 */
export interface Held<A> {
  readonly value: A
  readonly release: () => Promise<void>
}

/**
 * What runs effects over a layer.
 */
export class Runner<R> {
  readonly #runtime: ManagedRuntime.ManagedRuntime<R, RequestError>
  readonly #probe: Effect.Effect<unknown, RequestError, R> | undefined
  readonly #running = new Set<() => Promise<void>>()
  #closing: Promise<void> | undefined
  #built: Runtime.Runtime<R> | undefined
  #isReady = false

  /** `probe` shows that the layer can be used; without it, it can be when it is built. */
  constructor(layer: Layer.Layer<R, RequestError>, probe?: Effect.Effect<unknown, RequestError, R>) {
    this.#runtime = ManagedRuntime.make(layer)
    this.#probe = probe
  }

  /** Whether the layer has proved to be usable, and not been closed. */
  get isReady(): boolean {
    return this.#isReady && this.#closing === undefined
  }

  /** Builds the layer, where that has not been done, and makes sure that it can be used. */
  get ready(): Effect.Effect<void, RequestError> {
    return Effect.asVoid(this.#over(this.#probe ?? Effect.void))
  }

  /** Runs an effect over the layer. What succeeds shows that it can be used; a connection that breaks, that it cannot. */
  #over<A, E extends AnySandboxSDKError>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | RequestError> {
    const found = (isReady: boolean) =>
      Effect.sync(() => {
        this.#isReady = isReady
      })
    return Effect.flatMap(this.#runtime.runtimeEffect, (runtime) => {
      this.#built = runtime
      this.#isReady ||= this.#probe === undefined
      return Effect.provide(effect, runtime).pipe(
        Effect.tap(() => found(true)),
        Effect.tapError((error) => error._tag === "ConnectionError" ? found(false) : Effect.void)
      )
    })
  }

  /**
   * What an effect gives that needs no time, over the layer as it is, or was when it was closed; `undefined` before it
   * has been built.
   */
  now<A>(effect: Effect.Effect<A, AnySandboxSDKError, R>): A | undefined {
    return this.#built === undefined ? undefined : Exit.getOrElse(
      Runtime.runSyncExit(this.#built)(effect),
      (cause) => {
        throw this.#reasonOf(cause, undefined)
      }
    )
  }

  /** Starts an effect over the layer. Aborting `signal` interrupts it; it then rejects with the signal's reason, when it is over. */
  start<A>(effect: Effect.Effect<A, AnySandboxSDKError, R>, signal?: AbortSignal): Running<A> {
    return this.startAlone(this.#over(effect), signal)
  }

  /** The same for an effect that does not need the layer, and does not wait for it. */
  startAlone<A>(effect: Effect.Effect<A, AnySandboxSDKError>, signal?: AbortSignal): Running<A> {
    if (this.#closing !== undefined) {
      return refused(disconnected())
    }
    if (signal?.aborted === true) {
      return refused(signal.reason)
    }
    const fiber = Runtime.runFork(Runtime.defaultRuntime)(effect)
    const interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
    signal?.addEventListener("abort", interrupt, { once: true })
    const result = new Promise<A>((resolve, reject) => {
      fiber.addObserver((exit) => {
        signal?.removeEventListener("abort", interrupt)
        if (Exit.isSuccess(exit)) {
          resolve(exit.value)
        } else {
          // A reason may be any value: it is the caller's own.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(this.#reasonOf(exit.cause, signal))
        }
      })
    })
    const over = result.then(() => {}, () => {})
    const stop = () => {
      interrupt()
      return over
    }
    this.#running.add(stop)
    void over.then(() => this.#running.delete(stop))
    return { result, stop }
  }

  /** Acquires a value and holds its scope open until it is released, or this is closed. */
  hold<A>(effect: Effect.Effect<A, AnySandboxSDKError, R | Scope.Scope>, signal?: AbortSignal): Promise<Held<A>> {
    return new Promise((resolve, reject) => {
      const acquiring = new AbortController()
      const abort = () => acquiring.abort(signal?.reason)
      if (signal?.aborted === true) {
        abort()
      }
      signal?.addEventListener("abort", abort, { once: true })
      const { result, stop } = this.start(
        Effect.scoped(Effect.flatMap(effect, (value) => {
          signal?.removeEventListener("abort", abort)
          resolve({ value, release: stop })
          return Effect.never
        })),
        acquiring.signal
      )
      result.catch((reason: unknown) => {
        signal?.removeEventListener("abort", abort)
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(reason)
      })
    })
  }

  /**
   * The elements of a stream, pulled as they are asked for. The stream begins with the first of them; it is closed when
   * the iteration ends, early or not, when `signal` is aborted, and when this is closed.
   */
  iterate<A>(
    stream: Effect.Effect<Stream.Stream<A, AnySandboxSDKError, R>, AnySandboxSDKError, R>,
    signal?: AbortSignal
  ): StreamIterator<A> {
    return makeIterator(
      (deliver) => this.start(Effect.flatMap(streams, ({ forEachChunk }) => forEachChunk(stream, deliver)), signal),
      () => signal?.aborted === true || this.#closing !== undefined
    )
  }

  /** Ends everything that was started here, then the layer; resolves when all of it is over. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.all(Array.from(this.#running, (stop) => stop()))
    const exit = await Runtime.runPromiseExit(Runtime.defaultRuntime)(this.#runtime.disposeEffect)
    if (Exit.isFailure(exit)) {
      throw Cause.squash(exit.cause)
    }
  }

  #reasonOf(cause: Cause.Cause<AnySandboxSDKError>, signal: AbortSignal | undefined): unknown {
    if (Cause.isInterrupted(cause)) {
      if (signal?.aborted === true) {
        return signal.reason
      }
      if (this.#closing !== undefined) {
        return disconnected()
      }
    }
    // Effect puts a proxy around what fails within a span.
    return Cause.originalError(
      Cause.failureOption(cause).pipe(
        Option.orElse(() => Cause.dieOption(cause)),
        Option.getOrElse(() =>
          new SandboxSDKError({ code: "internal", message: "The call was interrupted from inside, which is a defect." })
        )
      )
    )
  }
}

const refused = <A>(reason: unknown): Running<A> => ({
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
  result: Promise.reject(reason),
  stop: () => Promise.resolve()
})
