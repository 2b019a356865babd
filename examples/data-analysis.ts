// Data of this machine, looked at in a sandbox: the table and the chart come back as data, and the picture as a PNG, which
// is written beside this file (or where CHART says).
import { writeFile } from "node:fs/promises"
import { SandboxSDK } from "sandbox-sdk/promise"

const SALES = `month,region,sales
2026-01,north,120
2026-01,south,90
2026-02,north,150
2026-02,south,110
2026-03,north,135
2026-03,south,160
`

const PROGRAM = `
import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv", parse_dates=["month"])
table = sales.pivot(index="month", columns="region", values="sales")

figure, axes = plt.subplots(figsize=(7, 4))
table.index = table.index.strftime("%b %Y")
table.plot.bar(ax=axes, stacked=True, rot=0)
axes.plot(table.index, table.sum(axis=1), "k.--", label="together")
axes.set(title="Sales by region", xlabel="", ylabel="Sales (k€)")
axes.legend(title=None)
plt.show()

table.reset_index()
`

await using sdk = await SandboxSDK.local()
await using sandbox = await sdk.sandbox({ templateId: "python" })
await sandbox.writeFile("sales.csv", SALES)
const { execution } = await sandbox.runCode(PROGRAM)

const [figure, table] = execution.results
console.log("table:", JSON.stringify(table?.data))

const charts = figure?.chart?.type === "superchart" ? figure.chart.elements : [figure?.chart]
for (const chart of charts) {
  if (chart?.type === "bar") {
    for (const { group, label, value } of chart.elements) console.log(`bar: ${label}, ${group}: ${String(value)}`)
  } else if (chart?.type === "line") {
    for (const { label, points } of chart.elements) console.log(`line: ${label} ${JSON.stringify(points)}`)
  }
}

const file = process.env["CHART"] ?? new URL("sales.png", import.meta.url)
await writeFile(file, Buffer.from(figure?.png ?? "", "base64"))
console.log("the picture is in", String(file))
