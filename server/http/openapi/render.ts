import { type Answer, type Document, type Operation, type Parameter, type Schema, VERBS } from './types.ts'

/** The document as one page of HTML, without script and without anything that would be fetched. */
export function renderReference(document: Document, style: string): string {
  const { info, tags, components } = document
  const sections = tags.map(({ name, description }) => {
    const operations = operationsOf(document).filter((one) => one.operation.tags[0] === name)
    return `<section><h2 id="${slug(name)}">${text(name)}</h2><p>${prose(description)}</p>${operations.map(renderOperation).join('')}</section>`
  })
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) => `<article id="schema-${name}"><h3>${text(name)}</h3>${renderSchema(schema)}</article>`,
  )
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(info.title)}: API</title><style>${style}</style></head>
<body>
<nav aria-label="Contents"><strong>${text(info.title)}</strong>${contents(document)}</nav>
<main><h1>${text(info.title)} ${text(info.version)}</h1>
${info.description
  .split('\n\n')
  .map((paragraph) => `<p>${prose(paragraph)}</p>`)
  .join('')}
<p>Machines read <a href="/openapi.json">openapi.json</a> (OpenAPI ${text(document.openapi)}).</p>
${sections.join('\n')}
<section><h2 id="schemas">Schemas</h2>${schemas.join('')}</section>
</main>
</body>
</html>
`
}

interface Found {
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

/** Every operation, in the order of the document. */
export function operationsOf({ paths }: Document): readonly Found[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    VERBS.flatMap((verb) => {
      const operation = item[verb]
      return operation ? [{ method: verb.toUpperCase(), path, operation }] : []
    }),
  )
}

function contents(document: Document): string {
  const lists = document.tags.map(({ name }) => {
    const items = operationsOf(document)
      .filter((one) => one.operation.tags[0] === name)
      .map(
        ({ method, path, operation }) =>
          `<li><a href="#${operation.operationId}"><b>${method}</b> ${text(path)}</a></li>`,
      )
    return `<p><a href="#${slug(name)}">${text(name)}</a></p><ul>${items.join('')}</ul>`
  })
  return `${lists.join('')}<p><a href="#schemas">Schemas</a></p>`
}

function renderOperation({ method, path, operation }: Found): string {
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation
  const roles = operation['x-roles']
  const who = roles === undefined ? 'Open to everybody.' : `Roles: ${roles.map((role) => code(role)).join(', ')}.`
  const body = requestBody
    ? `<h4>Body${requestBody.required ? '' : ' (optional)'}</h4>${Object.entries(requestBody.content)
        .map(
          ([type, media]) => `<p>${code(type)}</p>${renderSchema(media.schema ?? {})}${renderExample(media.example)}`,
        )
        .join('')}`
    : ''
  return `<article id="${operationId}"><h3><span class="verb ${method}">${method}</span> <code>${text(path)}</code></h3>
<p><b>${text(summary)}.</b> ${description === undefined ? '' : prose(description)}</p><p class="who">${who}</p>
${renderParameters(parameters)}${body}<h4>Answers</h4><table>${Object.entries(responses).map(renderAnswer).join('')}</table></article>`
}

function renderParameters(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return ''
  const rows = parameters.map(
    (one) =>
      `<tr><td><code>${text(one.name)}</code></td><td>${one.in}${one.required === true ? ', required' : ''}</td><td>${typeOf(one.schema)}</td><td>${prose(one.description)}</td></tr>`,
  )
  return `<h4>Parameters</h4><table>${rows.join('')}</table>`
}

function renderAnswer([status, answer]: [string, Answer]): string {
  const headers = Object.entries(answer.headers ?? {}).map(
    ([name, { description }]) => `<br><code>${text(name)}</code>: ${prose(description)}`,
  )
  const content = Object.entries(answer.content ?? {}).map(
    ([type, { schema }]) => `${code(type)} ${typeOf(schema ?? {})}`,
  )
  return `<tr><td><b>${text(status)}</b></td><td>${prose(answer.description)}${headers.join('')}</td><td>${content.join('<br>')}</td></tr>`
}

function renderExample(example: unknown): string {
  return example === undefined ? '' : `<pre>${text(JSON.stringify(example, null, 2))}</pre>`
}

function renderSchema(schema: Schema): string {
  const properties = isRecord(schema.properties) ? Object.entries(schema.properties) : []
  const required = Array.isArray(schema.required) ? schema.required : []
  if (properties.length === 0) {
    const choices = Array.isArray(schema.oneOf) ? schema.oneOf.filter(isRecord) : []
    return choices.length > 0 ? choices.map(renderSchema).join('<p>or</p>') : `<p>${typeOf(schema)}</p>`
  }
  const rows = properties.map(([name, value]) => {
    const one = isRecord(value) ? value : {}
    const note = typeof one.description === 'string' ? prose(one.description) : ''
    return `<tr><td><code>${text(name)}</code></td><td>${required.includes(name) ? 'always' : ''}</td><td>${typeOf(one)}</td><td>${note}</td></tr>`
  })
  return `<table>${rows.join('')}</table>`
}

/** A schema in a few words. */
function typeOf(schema: Schema): string {
  const { $ref, type, format, items, minimum, maximum } = schema
  if (typeof $ref === 'string') {
    const name = $ref.split('/').pop() ?? ''
    return `<a href="#schema-${name}">${text(name)}</a>`
  }
  if (schema.const !== undefined) return code(String(schema.const))
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => code(String(value))).join(' ')
  if (Array.isArray(schema.oneOf)) return schema.oneOf.filter(isRecord).map(typeOf).join(' or ')
  if (isRecord(items)) return `list of ${typeOf(items)}`
  const base = Array.isArray(type) ? type.join(' or ') : String(type ?? 'anything')
  const form = typeof format === 'string' ? ` (${format})` : ''
  const range = minimum === undefined || maximum === Number.MAX_SAFE_INTEGER ? '' : ` ${minimum}–${maximum ?? '…'}`
  return text(`${base}${form}${range}`)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function slug(name: string): string {
  return `tag-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`
}

function code(value: string): string {
  return `<code>${text(value)}</code>`
}

function text(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** Backticks and double stars of the document's descriptions. */
function prose(value: string): string {
  return text(value)
    .replaceAll(/`([^`]+)`/g, '<code>$1</code>')
    .replaceAll(/\*\*([^*]+)\*\*/g, '<b>$1</b>')
}
