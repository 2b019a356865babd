/**
 * `npm run bench`: measures every row, each beside its reference in the same run, and prints a table. `npm run bench --
 * ROW…` measures those alone. The figures are also written as JSON, and curves as SVG, to `--output`.
 */
import { Args, Command, Options } from "@effect/cli"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { plots } from "./Plot.js"
import { json, table } from "./Report.js"
import type { Outcome, Row } from "./Row.js"
import { rows } from "./rows/index.js"

const wanted = Args.text({ name: "row" }).pipe(
  Args.withDescription(`A row, or how the names of several begin: ${rows.map(({ id }) => id).join(", ")}`),
  Args.repeated
)

const scale = Options.float("scale").pipe(
  Options.withDescription("How much of the rounds, and of the sizes of curves, is measured; 1 is all"),
  Options.withDefault(1)
)

const output = Options.directory("output").pipe(
  Options.withDescription("Where results.json and the plots are written"),
  Options.withDefault("test/bench/results")
)

const measure = (row: Row, effort: number): Effect.Effect<Outcome> =>
  Console.error(`measuring ${row.id} …`).pipe(
    Effect.zipRight(row.measure({ scale: effort })),
    Effect.map((findings) => ({ row, findings })),
    // A row that fails is told, and does not keep the others from being measured.
    Effect.catchAll((error) =>
      Effect.succeed({ row, missing: "what" in error ? error.what : `it failed: ${error.message}` })
    )
  )

const command = Command.make("bench", { wanted, scale, output }, (options) =>
  Effect.gen(function*() {
    const chosen = rows.filter(({ id }) =>
      options.wanted.length === 0 || options.wanted.some((start) => id.startsWith(start))
    )
    if (chosen.length === 0) {
      yield* Console.error(`There is no such row. There are: ${rows.map(({ id }) => id).join(", ")}.`)
      process.exitCode = 64
      return
    }
    const outcomes = yield* Effect.forEach(chosen, (row) => measure(row, options.scale))
    yield* Console.log(table(outcomes))
    const drawn = yield* Effect.promise(() => plots(outcomes))
    yield* Effect.promise(() => mkdir(options.output, { recursive: true }))
    for (const [name, content] of [["results.json", `${json(outcomes, new Date())}\n`] as const, ...drawn]) {
      yield* Effect.promise(() => writeFile(join(options.output, name), content))
    }
    yield* Console.error(`Written to ${options.output}: results.json${drawn.map(([name]) => `, ${name}`).join("")}`)
  }))

Command.run(command, { name: "bench", version: "0" })(process.argv).pipe(
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
