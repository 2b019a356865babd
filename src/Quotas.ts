/**
 * What a server grants each of its users: requests a minute, executions at a time, sandboxes, bytes of storage.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { RateLimitError, SandboxError } from "./Errors.js"
import { acquireRelease } from "./internal/finalizing.js"
import { type Gate, makeGate } from "./internal/gate.js"
import { makeTurnstile, type Turnstile } from "./internal/turnstile.js"
import { makeWindow, type Window } from "./internal/window.js"
import { type RateLimitInfo, takeRequest, windowInfo } from "./RateLimit.js"

/**
 * The limits of one user; what is absent is not limited.
 *
 * @category models
 */
export interface QuotaLimits {
  /** Requests in any 60 seconds. */
  readonly requestsPerMinute?: number | undefined
  /** Runs of code and commands at a time. */
  readonly concurrentExecutions?: number | undefined
  /** Sandboxes that are there at a time, running or stopped. */
  readonly sandboxes?: number | undefined
  /** Bytes in the files of all sandboxes together. */
  readonly storageBytes?: number | undefined
}

/**
 * Keeps the accounts. A user is an id that means one and the same person, and is no secret.
 *
 * @category models
 */
export interface Service {
  /**
   * Counts a request, and gives what is left of the minute (`undefined` when it is not limited). Fails with
   * `RateLimitError`, whose `retryAfter` is exactly when there is room again.
   */
  readonly request: (user: string) => Effect.Effect<RateLimitInfo | undefined, RateLimitError>
  /** What is left of the minute, without counting anything. */
  readonly info: (user: string) => Effect.Effect<RateLimitInfo | undefined>
  /** Counts an execution until the scope closes. Fails with `RateLimitError` when there are too many. */
  readonly execution: (user: string) => Effect.Effect<void, RateLimitError, Scope.Scope>
  /** The same, until what it gives is called. */
  readonly begin: (user: string) => Effect.Effect<() => void, RateLimitError>
  /**
   * Makes a sandbox, or `more` of them, if there is room. `owned` says how many the user has; those that are being made are
   * counted besides, so that many requests at once do not make too many. Fails with `RateLimitError`.
   */
  readonly createSandbox: <E1, R1>(
    user: string,
    owned: Effect.Effect<number, E1, R1>,
    more?: number
  ) => <A, E, R>(create: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E1 | RateLimitError, R | R1>
  /**
   * Checks that `more` bytes may be stored; `used` says how many there are. Fails with `SandboxError` `quota_exceeded`.
   */
  readonly storage: <E, R>(
    user: string,
    used: Effect.Effect<number, E, R>,
    more: number
  ) => Effect.Effect<void, E | SandboxError, R>
}

/**
 * The service tag.
 *
 * @category tags
 */
export class Quotas extends Context.Tag("sandbox-sdk/Quotas")<Quotas, Service>() {}

const MINUTE = 60_000

/** When to come back is not known: a guess. */
const GUESS = 1_000

/** What is kept of one user. */
interface Account {
  readonly limits: QuotaLimits
  readonly window: Window | undefined
  readonly executions: Gate | undefined
  readonly deciding: Turnstile
  /** Sandboxes that are being made. */
  pending: number
  /** Done as soon as one of them has been made, or has failed. */
  settled: Deferred.Deferred<void>
}

const openAccount = (limits: QuotaLimits): Effect.Effect<Account> =>
  Effect.gen(function*() {
    const { concurrentExecutions, requestsPerMinute } = limits
    return {
      limits,
      window: requestsPerMinute === undefined ? undefined : makeWindow(requestsPerMinute, MINUTE),
      executions: concurrentExecutions === undefined ? undefined : makeGate(concurrentExecutions),
      deciding: yield* makeTurnstile,
      pending: 0,
      settled: yield* Deferred.make<void>()
    }
  })

const nothing = Effect.succeed(undefined)

const unlimited = (): void => {}

const tooMany = (limit: number, what: string, hint: string): RateLimitError =>
  new RateLimitError({
    message: `The limit of ${limit} ${what} is reached; ${hint}.`,
    retryAfter: GUESS,
    limit,
    remaining: 0
  })

/**
 * Waits until it is certain whether there is room for so many more, and reserves it. Only what `restore` goes around can be
 * interrupted: a reservation that nobody knows of would stay for ever.
 */
const reserve = <E, R>(
  account: Account,
  limit: number,
  owned: Effect.Effect<number, E, R>,
  more: number,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
) =>
  account.deciding.inTurn(Effect.gen(function*() {
    for (;;) {
      // First this, then how many there are: one that gets ready in between counts twice, not never.
      const { pending, settled } = account
      const count = yield* restore(owned)
      if (count + more > limit) {
        return yield* tooMany(limit, "sandboxes", "delete one that is no longer needed, and try again")
      }
      if (count + pending + more <= limit) {
        account.pending += more
        return
      }
      yield* restore(Deferred.await(settled))
    }
  }))

const release = (account: Account, more: number): Effect.Effect<void> =>
  Effect.sync(() => {
    const { settled } = account
    account.pending -= more
    account.settled = Deferred.unsafeMake(FiberId.none)
    Deferred.unsafeDone(settled, Effect.void)
  })

/**
 * Makes the accounts. `limits` are those of every user, or a function of the user.
 *
 * @category constructors
 */
export const make = (limits: QuotaLimits | ((user: string) => QuotaLimits)): Service => {
  const accounts = new Map<string, Account>()

  const accountOf = (user: string): Effect.Effect<Account> =>
    Effect.suspend(() => {
      const known = accounts.get(user)
      return known === undefined
        ? Effect.map(openAccount(typeof limits === "function" ? limits(user) : limits), (fresh) => {
          // Somebody else may have been quicker.
          const account = accounts.get(user) ?? fresh
          accounts.set(user, account)
          return account
        })
        : Effect.succeed(known)
    })

  const infoOf = ({ limits, window }: Account): Effect.Effect<RateLimitInfo | undefined> =>
    window === undefined || limits.requestsPerMinute === undefined
      ? nothing
      : windowInfo(window, limits.requestsPerMinute)

  const begin = (user: string): Effect.Effect<() => void, RateLimitError> =>
    Effect.flatMap(accountOf(user), ({ executions, limits }) => {
      if (executions === undefined || limits.concurrentExecutions === undefined) {
        return Effect.succeed(unlimited)
      }
      const leave = executions.take()
      return leave === undefined
        ? Effect.fail(tooMany(limits.concurrentExecutions, "executions at a time", "try again when one has ended"))
        : Effect.succeed(leave)
    })

  return {
    request: (user) =>
      Effect.flatMap(
        accountOf(user),
        (account) =>
          account.window === undefined || account.limits.requestsPerMinute === undefined
            ? nothing
            : Effect.zipRight(takeRequest(account.window, account.limits.requestsPerMinute), infoOf(account))
      ),
    info: (user) => Effect.flatMap(accountOf(user), infoOf),
    begin,
    execution: (user) => acquireRelease(begin(user), (leave) => Effect.sync(leave)),
    createSandbox: (user, owned, more = 1) => (create) =>
      Effect.flatMap(accountOf(user), (account) => {
        const limit = account.limits.sandboxes
        return limit === undefined ? create : Effect.uninterruptibleMask((restore) =>
          Effect.zipRight(
            reserve(account, limit, owned, more, restore),
            Effect.ensuring(restore(create), release(account, more))
          )
        )
      }),
    storage: (user, used, more) =>
      Effect.flatMap(accountOf(user), ({ limits }) => {
        const limit = limits.storageBytes
        return limit === undefined ? Effect.void : Effect.flatMap(used, (bytes) =>
          bytes + more <= limit
            ? Effect.void
            : Effect.fail(
              new SandboxError({
                code: "quota_exceeded",
                message:
                  `All sandboxes together may hold ${limit} bytes; ${bytes} are taken and ${more} more are too ` +
                  "many. Delete files or sandboxes that are no longer needed."
              })
            ))
      })
  }
}

/**
 * The accounts as a service.
 *
 * @category layers
 */
export const layer = (limits: QuotaLimits | ((user: string) => QuotaLimits)): Layer.Layer<Quotas> =>
  Layer.sync(Quotas, () => make(limits))
