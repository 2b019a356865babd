/**
 * The contexts of one sandbox: which interpreter runs what, and in which order.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { AgentClient } from "../agent/Client.js"
import type { Answered } from "../agent/Ping.js"
import type { CodeContext, Language, RestartReason } from "../CodeContext.js"
import { SandboxError } from "../Errors.js"
import type { Turnstile } from "../internal/turnstile.js"
import { makeTurnstile } from "../internal/turnstile.js"
import { makeId } from "./Ids.js"

/**
 * A context whose turn it is, with an interpreter that is up.
 */
export interface Turn {
  readonly contextId: string
  readonly language: Language
  /** What the agent calls this interpreter; another one of the same context has another name. */
  readonly agentId: string
  /** Which run of the context this is, from 1. */
  readonly executionCount: number
}

/**
 * Options of a new context.
 */
export interface NewContext {
  readonly language: Language
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * The contexts of one sandbox.
 */
export interface Contexts {
  /** A new context with its interpreter up. Fails with `language_unavailable`, `start_failed`, `file_not_found`. */
  readonly create: (options: NewContext) => Effect.Effect<CodeContext, SandboxError>
  /** All of them, oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<CodeContext>>
  /** Gives one a fresh interpreter, once what runs in it has been ended. Fails with `context_not_found`. */
  readonly restart: (id: string) => Effect.Effect<CodeContext, SandboxError>
  /** Ends one and what runs in it. Fails with `context_not_found`. */
  readonly remove: (id: string) => Effect.Effect<void, SandboxError>
  /**
   * Waits for the turn in a context, starts its interpreter when there is none, and does something with it. `target` is an
   * id, or the language whose default context is meant. The waits can be interrupted even where the caller cannot be.
   */
  readonly inTurn: <A, E, R>(
    target: { readonly id: string } | { readonly language: Language },
    use: (turn: Turn) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SandboxError, R>
  /**
   * Starts an interpreter for the first context that asks for one of this language, in the default folder and without an
   * environment of its own. It is part of no context until then.
   */
  readonly prepare: (language: Language) => Effect.Effect<void, SandboxError>
  /** Asks whether the sandbox answers, and has the interpreter that was prepared wake up. */
  readonly ping: Effect.Effect<Answered>
  /** Adds to the environment of all interpreters that start from now on; one that was prepared without is ended. */
  readonly addEnv: (env: Readonly<Record<string, string>>) => Effect.Effect<void>
  /** Whether a context is one of these. */
  readonly has: (id: string) => boolean
  /** The interpreter has ended: the context goes on with a fresh one, which knows nothing of the old one's variables. */
  readonly died: (agentId: string, reason: RestartReason) => void
  /** Waits until the agent has said that all of an interpreter that died is gone. */
  readonly gone: (agentId: string) => Effect.Effect<void>
  /** Tells that the agent has said so. */
  readonly exited: (agentId: string, reason: RestartReason) => void
  /** Whether an interpreter was ended because its context was restarted or deleted. */
  readonly wasEnded: (agentId: string) => boolean
  /** The reason of the last restart was found out later. */
  readonly correctReason: (agentId: string, reason: RestartReason) => void
}

interface State {
  readonly id: string
  readonly options: NewContext
  readonly createdAt: number
  readonly queue: Turnstile
  agentId: string | undefined
  lastAgentId: string | undefined
  executions: number
  interpreters: number
  restarts: number
  lastRestart: RestartReason | undefined
  /** The interpreter that is being ended on request. */
  endedAgentId: string | undefined
}

/**
 * Makes the contexts of a sandbox.
 *
 * @param defaultCwd where default contexts start.
 */
export const make = (sandboxId: string, client: AgentClient, defaultCwd: string): Contexts => {
  const states = new Map<string, State>()
  const defaults = new Map<Language, string>()
  const leaving = new Map<string, Deferred.Deferred<void>>()
  let common: Readonly<Record<string, string>> = {}
  let prepared: { readonly language: Language; readonly agentId: string } | undefined

  /** The interpreter that was prepared, if it is what this context would start. */
  const takePrepared = ({ cwd, env, language }: NewContext): string | undefined => {
    if (prepared?.language !== language || cwd !== defaultCwd || Object.keys(env).length > 0) return undefined
    const { agentId } = prepared
    prepared = undefined
    return agentId
  }

  const describe = (state: State): CodeContext => ({
    id: state.id,
    sandboxId,
    language: state.options.language,
    cwd: state.options.cwd,
    createdAt: state.createdAt,
    restarts: state.restarts,
    ...(state.lastRestart === undefined ? {} : { lastRestart: state.lastRestart })
  })

  const add = (options: NewContext) =>
    Effect.gen(function*() {
      const state: State = {
        id: yield* makeId("ctx"),
        options,
        createdAt: yield* Clock.currentTimeMillis,
        queue: yield* makeTurnstile,
        agentId: undefined,
        lastAgentId: undefined,
        executions: 0,
        interpreters: 0,
        restarts: 0,
        lastRestart: undefined,
        endedAgentId: undefined
      }
      states.set(state.id, state)
      return state
    })

  const notFound = (id: string) =>
    new SandboxError({
      code: "context_not_found",
      message: `There is no context "${id}" in this sandbox.`,
      sandboxId,
      field: "contextId"
    })

  const find = (id: string): Effect.Effect<State, SandboxError> =>
    Effect.suspend(() => {
      const state = states.get(id)
      return state === undefined ? Effect.fail(notFound(id)) : Effect.succeed(state)
    })

  const defaultFor = (language: Language): Effect.Effect<State> =>
    Effect.suspend(() => {
      const state = states.get(defaults.get(language) ?? "")
      return state === undefined
        ? Effect.tap(add({ language, cwd: defaultCwd, env: {} }), ({ id }) => defaults.set(language, id))
        : Effect.succeed(state)
    })

  /** Only by who has the turn. */
  const ensureUp = (state: State): Effect.Effect<string, SandboxError> =>
    state.agentId === undefined ? bringUp(state) : Effect.succeed(state.agentId)

  const bringUp = (state: State) =>
    Effect.gen(function*() {
      state.interpreters += 1
      const ready = takePrepared(state.options)
      const agentId = ready ?? `${state.id}.${state.interpreters}`
      if (ready === undefined) {
        const { env } = state.options
        yield* client.openContext({ id: agentId, ...state.options, env: { ...common, ...env } }).pipe(
          // An interpreter that came up for nobody would stay for ever.
          Effect.onInterrupt(() => client.closeContext(agentId)),
          Effect.interruptible
        )
      }
      state.agentId = agentId
      state.lastAgentId = agentId
      return agentId
    })

  const died = (agentId: string, reason: RestartReason): void => {
    for (const state of states.values()) {
      if (state.agentId === agentId) {
        state.agentId = undefined
        state.restarts += 1
        state.lastRestart = agentId === state.endedAgentId ? "requested" : reason
        leaving.set(agentId, Deferred.unsafeMake(FiberId.none))
      }
    }
  }

  const exited = (agentId: string, reason: RestartReason): void => {
    if (prepared?.agentId === agentId) prepared = undefined
    died(agentId, reason)
    const waiting = leaving.get(agentId)
    leaving.delete(agentId)
    if (waiting !== undefined) {
      Deferred.unsafeDone(waiting, Effect.void)
    }
  }

  /** Ends the interpreter of a context and what runs in it, and waits until both are gone. */
  const end = (state: State): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { agentId } = state
      if (agentId === undefined) {
        return Effect.void
      }
      state.endedAgentId = agentId
      return Effect.zipRight(client.closeContext(agentId), Effect.sync(() => exited(agentId, "requested")))
    })

  return {
    create: (options) =>
      Effect.gen(function*() {
        const state = yield* add(options)
        yield* state.queue.inTurn(ensureUp(state)).pipe(
          Effect.onExit((exit) => Effect.sync(() => exit._tag === "Failure" && states.delete(state.id)))
        )
        return describe(state)
      }),
    list: Effect.sync(() => [...states.values()].map(describe)),
    restart: (id) =>
      Effect.gen(function*() {
        const state = yield* find(id)
        yield* end(state)
        yield* state.queue.inTurn(ensureUp(state))
        return describe(state)
      }),
    remove: (id) =>
      Effect.gen(function*() {
        const state = yield* find(id)
        yield* end(state)
        states.delete(id)
      }),
    inTurn: (target, use) =>
      Effect.flatMap("id" in target ? find(target.id) : defaultFor(target.language), (state) => {
        const { id, options: { language } } = state
        return state.queue.inTurn(Effect.flatMap(
          // It may have been deleted while this one waited.
          Effect.suspend(() => states.has(id) ? ensureUp(state) : Effect.fail(notFound(id))),
          (agentId) => {
            state.executions += 1
            return use({ contextId: id, language, agentId, executionCount: state.executions })
          }
        ))
      }),
    prepare: (language) => {
      const agentId = `prepared.${language}`
      return Effect.zipRight(
        client.openContext({ id: agentId, language, cwd: defaultCwd, env: common, rehearse: true }),
        Effect.sync(() => {
          prepared = { language, agentId }
        })
      )
    },
    ping: Effect.suspend(() => client.ping(prepared?.agentId)),
    addEnv: (env) =>
      Effect.suspend(() => {
        if (Object.keys(env).length === 0) return Effect.void
        common = { ...common, ...env }
        const old = prepared
        prepared = undefined
        return old === undefined ? Effect.void : client.closeContext(old.agentId)
      }),
    has: (id) => states.has(id),
    wasEnded: (agentId) => [...states.values()].some((state) => state.endedAgentId === agentId),
    died,
    gone: (agentId) =>
      Effect.suspend(() => {
        const waiting = leaving.get(agentId)
        return waiting === undefined ? Effect.void : Deferred.await(waiting)
      }),
    exited,
    correctReason: (agentId, reason) => {
      for (const state of states.values()) {
        if (state.lastAgentId === agentId && state.agentId === undefined) state.lastRestart = reason
      }
    }
  }
}
