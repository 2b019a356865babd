/**
 * The open ports of an engine's sandboxes: each a listener on this machine, made when it is first asked for.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { RequestError } from "../Errors.js"
import { SandboxError } from "../Errors.js"
import { addressAt } from "../internal/ports.js"
import type { PortAddress } from "../Port.js"
import type { Behind, Listener } from "../ports/Listener.js"
import * as ListenerModule from "../ports/Listener.js"

/**
 * The open ports.
 */
export interface Ports {
  /**
   * Where a port is reached. `exists` fails when there is no such sandbox; it is asked at a time when {@link Ports.forget}
   * for it cannot have been overtaken.
   *
   * Fails with `SandboxError` `quota_exceeded` when the sandbox has too many.
   */
  readonly open: (
    behind: Behind,
    exists: Effect.Effect<unknown, RequestError>
  ) => Effect.Effect<PortAddress, RequestError>
  /** Closes one, if it is open. */
  readonly close: (sandboxId: string, port: number) => Effect.Effect<void>
  /** Closes all of a sandbox. */
  readonly forget: (sandboxId: string) => Effect.Effect<void>
}

/** Ports of one sandbox that are open at a time. */
const MOST = 64

interface Open {
  readonly listener: Listener
  readonly scope: Scope.CloseableScope
}

/**
 * Makes it; all of them close with the scope.
 */
export const make: Effect.Effect<Ports, never, Scope.Scope> = Effect.gen(function*() {
  const sandboxes = new Map<string, Map<number, Open>>()
  const turn = yield* Effect.makeSemaphore(1)
  const alone = turn.withPermits(1)
  yield* Effect.addFinalizer(() => Effect.forEach([...sandboxes.keys()], forgetNow, { discard: true }))

  const openNow = Effect.fnUntraced(function*(behind: Behind) {
    const { port, sandboxId } = behind
    const ports = sandboxes.get(sandboxId) ?? new Map<number, Open>()
    const known = ports.get(port)
    if (known !== undefined) {
      return known.listener
    }
    if (ports.size >= MOST) {
      return yield* new SandboxError({
        code: "quota_exceeded",
        message: `The sandbox has ${MOST} open ports, as many as it may have. Close one with closePort.`,
        sandboxId
      })
    }
    const scope = yield* Scope.make()
    const listener = yield* ListenerModule.make(behind).pipe(
      Scope.extend(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    sandboxes.set(sandboxId, ports.set(port, { listener, scope }))
    return listener
  })

  const closeNow = (sandboxId: string, port: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const ports = sandboxes.get(sandboxId)
      const open = ports?.get(port)
      ports?.delete(port)
      if (ports?.size === 0) sandboxes.delete(sandboxId)
      return open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)
    })

  const forgetNow = (sandboxId: string): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach([...sandboxes.get(sandboxId)?.keys() ?? []], (port) => closeNow(sandboxId, port), {
        discard: true
      })
    )

  return {
    open: (behind, exists) =>
      alone(Effect.zipRight(exists, Effect.uninterruptible(openNow(behind)))).pipe(
        Effect.map(({ base, token }) => addressAt(base, { sandboxId: behind.sandboxId, port: behind.port, token }))
      ),
    close: (sandboxId, port) => alone(closeNow(sandboxId, port)),
    forget: (sandboxId) => alone(forgetNow(sandboxId))
  }
})
