/**
 * The contexts in which E2B's programs run code when they name none: one for each language, and what runs in it runs in
 * the order in which it was asked for.
 */
import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Language } from "../../CodeContext.js"
import { CurrentUser } from "../../CurrentUser.js"
import type { RequestError } from "../../Errors.js"
import type { ExecutionEvent } from "../../Execution.js"
import { makeTurnstile } from "../../internal/turnstile.js"
import type { Service } from "../../SandboxSDK.js"
import { HOME } from "./Paths.js"

/**
 * Whose default context, in which sandbox and for which language.
 */
class Key extends Data.Class<{ readonly user: string; readonly sandboxId: string; readonly language: Language }> {}

/**
 * Runs code in default contexts.
 */
export interface DefaultContexts {
  /**
   * Has a run happen in the default context of a language, which is made where there is none; also when the one that was
   * there has been deleted.
   *
   * @param run what is to happen in the context with this id. The next one begins to wait for the context when this one
   * has told its first event.
   */
  readonly run: (
    sandboxId: string,
    language: Language,
    run: (contextId: string) => Stream.Stream<ExecutionEvent, RequestError>
  ) => Stream.Stream<ExecutionEvent, RequestError>
}

const isForgotten = (error: RequestError): boolean =>
  error._tag === "SandboxError" && error.code === "context_not_found"

/** Of so many the context is known; of those that have not been used for longest it is made anew. */
const REMEMBERED = 100_000

/**
 * Makes it. What is being made belongs to the scope, not to the request that wanted it first.
 */
export const make = Effect.fnUntraced(function*(sdk: Service): Effect.fn.Return<DefaultContexts, never, Scope.Scope> {
  const scope = yield* Effect.scope

  const contexts = yield* Cache.make({
    capacity: REMEMBERED,
    timeToLive: Infinity,
    lookup: ({ language, sandboxId, user }: Key) =>
      sdk.createCodeContext(sandboxId, { cwd: HOME, language }).pipe(
        Effect.provideService(CurrentUser, user),
        Effect.forkIn(scope)
      )
  })

  const queues = yield* RcMap.make({ lookup: (_: Key) => makeTurnstile })

  /** What has come to nothing, or is gone, is forgotten, so that the next one makes another. */
  const forget = (key: Key, made: Fiber.Fiber<unknown, unknown>) =>
    contexts.invalidateWhen(key, (current) => current === made)

  type Events = Stream.Stream<ExecutionEvent, RequestError>

  const inContext = (key: Key, run: (contextId: string) => Events): Events =>
    Stream.unwrap(Effect.gen(function*() {
      // To begin it takes no time; and who is interrupted here would take all along who wait for the same.
      const made = yield* Effect.uninterruptible(contexts.get(key))
      const { id } = yield* Effect.tapError(Fiber.join(made), () => forget(key, made))
      return Stream.catchSome(run(id), (error) =>
        isForgotten(error)
          ? Option.some(Stream.unwrap(Effect.as(forget(key, made), inContext(key, run))))
          : Option.none())
    }))

  return {
    run: (sandboxId, language, run) =>
      Stream.unwrapScoped(Effect.gen(function*() {
        const key = new Key({ user: yield* CurrentUser, sandboxId, language })
        const queue = yield* RcMap.get(queues, key)
        const turn = yield* Effect.acquireRelease(Scope.make(), (turn) => Scope.close(turn, Exit.void))
        yield* Scope.extend(queue.turn, turn)
        const goOn = Scope.close(turn, Exit.void)
        return Stream.mapChunksEffect(inContext(key, run), (events) => Effect.as(goOn, events))
      }))
  }
})
