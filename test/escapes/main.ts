/**
 * `npm run escapes`: makes every attempt as this user, and as an ordinary user when this is root, and prints what stopped
 * each. `npm run escapes -- ID…` makes those alone whose ids begin like this. Ends with 1 when an attempt got out.
 */
import { makeBundles, NOBODY, run, UnknownAttempt } from "./runs.js"
import { table } from "./table.js"

const args = process.argv.slice(2)
const asJson = args.includes("--json")
const ids = args.filter((arg) => !arg.startsWith("-"))
const unknown = args.filter((arg) => arg.startsWith("-") && arg !== "--json")

const main = async (): Promise<number> => {
  if (unknown.length > 0) {
    console.error(`There is no option ${unknown.join(", ")}; there is --json.`)
    return 64
  }
  const isRoot = process.geteuid?.() === 0
  const bundles = await makeBundles()
  try {
    let made = 0
    const count = () => {
      made += 1
      if (process.stderr.isTTY && !asJson) process.stderr.write(`\r${made} attempts made`)
    }
    const [first, second] = await Promise.all([
      run(bundles, undefined, ids, count),
      isRoot ? run(bundles, NOBODY, ids, count) : undefined
    ])
    if (process.stderr.isTTY && !asJson) process.stderr.write("\r\u001b[K")
    const runs = [
      { user: isRoot ? "root" : "ordinary user", ...first },
      ...second === undefined ? [] : [{ user: "ordinary user", ...second }]
    ]
    const bad = runs.flatMap(({ outcomes }) =>
      outcomes.filter(({ outcome }) => outcome === "escaped" || outcome === "unclear")
    )
    console.log(
      asJson
        ? JSON.stringify({ ok: bad.length === 0, runs }, null, 2)
        : table(first.families, runs, isRoot)
    )
    return bad.length === 0 ? 0 : 1
  } finally {
    bundles.remove()
  }
}

main().then(
  // Not by process.exit: it would cut off what a pipe has not taken yet.
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(error instanceof UnknownAttempt ? error.message : error)
    process.exitCode = error instanceof UnknownAttempt ? 64 : 70
  }
)
