/**
 * From nothing to the first result.
 */
import { Duration, Effect } from "effect"
import type { SandboxSDK } from "sandbox-sdk"
import { IMAGES } from "../../docker/images.js"
import { bubblewrap, needs, program, PYTHON, python } from "../References.js"
import { explained, inTurns, Missing, rounds, type Row, timed, times } from "../Row.js"
import { local, served } from "../Subjects.js"

/**
 * How long a sandbox takes from `createSandbox` to its first result. It is deleted afterwards, outside of what is measured,
 * and a pool has time to start the next one: what is measured is a sandbox that was ready when somebody came.
 */
const firstResult = (sdk: typeof SandboxSDK.Service, refill: Duration.DurationInput = 0) =>
  Effect.gen(function*() {
    const start = performance.now()
    const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
    yield* sdk.runCode(sandbox.id, "1+1")
    const took = performance.now() - start
    yield* sdk.deleteSandbox(sandbox.id)
    yield* Effect.sleep(refill)
    return took
  })

/** What a pool takes to start another sandbox, with time to spare. */
const REFILL = Duration.millis(500)
const CONTAINER_REFILL = Duration.seconds(3)

const WARM = 3

/** As many turns as it takes until Node has compiled what is on the way. */
const WARM_UP = 30

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "create-pool-local",
    title: "createSandbox to the first result, pool warm, engine in this process",
    reference: "python3 -I -c pass",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local({ pool: { size: WARM, templates: ["python"] } })
        yield* Effect.sleep(Duration.times(REFILL, WARM))
        return [times(yield* inTurns(rounds(effort, 60), firstResult(sdk, REFILL), timed(python), WARM_UP), 0.08)]
      })).pipe(explained)
  },
  {
    id: "create-pool-http",
    title: "createSandbox to the first result, pool warm, over HTTP",
    reference: "python3 -I -c pass",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const { sdk } = yield* served("--pool", `python=${WARM}`)
        yield* Effect.sleep(Duration.times(REFILL, WARM))
        return [times(yield* inTurns(rounds(effort, 60), firstResult(sdk, REFILL), timed(python), WARM_UP), 0.2)]
      })).pipe(explained)
  },
  {
    id: "create-cold",
    title: "createSandbox to the first result, without a pool, engine in this process",
    reference: "bubblewrap around python3 -I -c pass",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        return [times(yield* inTurns(rounds(effort, 40), firstResult(sdk), timed(bubblewrap), WARM_UP), 1.5)]
      })).pipe(explained)
  },
  {
    id: "create-pool-docker",
    title: "createSandbox to the first result, pool warm, in containers",
    reference: "docker run --rm of the same image, python3 -I -c pass",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const docker = "/usr/bin/docker"
        yield* needs(docker, "docker.io")
        yield* Effect.mapError(
          program(docker, ["image", "inspect", IMAGES.full]),
          () =>
            new Missing(`no Docker Engine answers, or it has no image ${IMAGES.full} (npm run test:docker makes it)`)
        )
        const sdk = yield* local({
          isolation: "docker",
          docker: { image: IMAGES.full },
          pool: { size: WARM, templates: ["python"] }
        })
        yield* Effect.sleep(Duration.times(CONTAINER_REFILL, WARM))
        const container = program(docker, [
          ...["run", "--rm", "--network", "none", IMAGES.full],
          ...[PYTHON, "-I", "-c", "pass"]
        ])
        const found = yield* inTurns(
          rounds(effort, 20),
          firstResult(sdk, CONTAINER_REFILL),
          timed(container),
          WARM_UP / 2
        )
        return [times(found, 0.02)]
      })).pipe(explained)
  }
]
