import { Context, Exit, Layer, Option, Tracer } from "effect"

/** A tracer that keeps its spans, with their attributes. */
export const collectSpans = () => {
  const spans: Array<Tracer.Span> = []
  let count = 0
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      count += 1
      const attributes = new Map<string, unknown>()
      const own = [...links]
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: count.toString(16).padStart(16, "0"),
        traceId: Option.match(parent, {
          onNone: () => count.toString(16).padStart(32, "0"),
          onSome: (of) => of.traceId
        }),
        parent,
        context: Context.omit()(context),
        status: { _tag: "Ended", startTime, endTime: startTime, exit: Exit.void },
        attributes,
        links: own,
        sampled: true,
        kind,
        end: () => {},
        attribute: (key, value) => {
          attributes.set(key, value)
        },
        event: () => {},
        addLinks: (added) => {
          own.push(...added)
        }
      }
      spans.push(span)
      return span
    },
    context: (f) => f()
  })
  return { spans, layer: Layer.setTracer(tracer) }
}
