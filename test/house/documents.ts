/** Rules about the project's documents, each a pure function that answers its findings. */
import { posix } from 'node:path'

/** What a document may refer to. */
export interface Project {
  /** Every file, relative to the root. */
  readonly files: readonly string[]
  /** The text of one of them. */
  readonly textOf: (file: string) => string
}

const FENCED = /^( *)(```|~~~)[^\n]*\n[\s\S]*?^\1\2 *$/gm
const SPAN = /`[^`\n]+`/g

/** The text without code, whose brackets are no links. */
function prose(markdown: string): string {
  return markdown.replace(FENCED, '').replace(SPAN, 'code')
}

/** Code spans and fenced code, without their fences. */
export function codeOf(markdown: string): string[] {
  const blocks = markdown.match(FENCED) ?? []
  const spans = markdown.replace(FENCED, '').match(SPAN) ?? []
  return [...blocks, ...spans]
}

/** What GitHub makes of a heading. */
function anchorOf(heading: string): string {
  const kept = heading.trim().toLowerCase().replaceAll('`', '')
  return kept.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')
}

function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.replace(FENCED, '').matchAll(/^#{1,6} +(.+?) *$/gm)
  return new Set([...headings].map(([, heading = '']) => anchorOf(heading)))
}

/** Relative links of a document that lead nowhere: no such file or folder, or no such heading in it. */
export function brokenLinks(file: string, project: Project): string[] {
  const text = project.textOf(file)
  const targets = [...prose(text).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)].map(([, target = '']) => target)
  return targets.flatMap((target) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return []
    const [path = '', anchor] = decodeURI(target).split('#', 2)
    const found = path === '' ? file : posix.join(posix.dirname(file), path).replace(/\/$/, '')
    const isFile = project.files.includes(found)
    if (!isFile && !project.files.some((other) => other.startsWith(`${found}/`))) {
      return [`${file}: ${target} leads nowhere`]
    }
    if (anchor === undefined || !found.endsWith('.md') || anchorsOf(project.textOf(found)).has(anchor)) return []
    return [`${file}: ${target}: no such heading`]
  })
}

/** Commands of npm that a document names and the package does not have. */
export function unknownScripts(file: string, text: string, scripts: readonly string[]): string[] {
  const run = [...text.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(([, name = '']) => name)
  const short = [...text.matchAll(/\bnpm (start|test|stop|restart)\b/g)].map(([, name = '']) => name)
  return [...run, ...short].filter((name) => !scripts.includes(name)).map((name) => `${file}: no npm script ${name}`)
}

/** Names that look like settings and are none: `A_NAME` anywhere, and in code also `NAME=`. */
export function unknownSettings(file: string, text: string, isKnown: (name: string) => boolean): string[] {
  const long = [...text.matchAll(/(?<![\w$-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w(]|\.\.\.)/g)].map(([name]) => name)
  const assigned = codeOf(text).flatMap((code) =>
    [...code.matchAll(/(?<![\w$])([A-Z][A-Z0-9_]+)=/g)].map(([, name = '']) => name),
  )
  // A variable of the example's own shell.
  const ofExample = (name: string): boolean => new RegExp(`\\$\\{?${name}\\b`).test(text)
  const names = new Set([...long, ...assigned])
  return [...names].filter((name) => !isKnown(name) && !ofExample(name)).map((name) => `${file}: no setting ${name}`)
}

/** snake_case words in code (metrics, error codes, columns) that nothing here is called. */
export function unknownNames(file: string, text: string, isKnown: (name: string) => boolean): string[] {
  const code = codeOf(text).join('\n')
  const names = new Set([...code.matchAll(/(?<![\w/.-])[a-z]+(?:_[a-z0-9]+)+(?![\w(])/g)].map(([name]) => name))
  return [...names].filter((name) => !isKnown(name)).map((name) => `${file}: nothing is called ${name}`)
}

/** The rows between the marks: room to what it may import, as written. */
export function roomsTable(markdown: string): Map<string, string> {
  const between = /<!-- rooms:begin -->([\s\S]*?)<!-- rooms:end -->/.exec(markdown)?.[1] ?? ''
  const rows = [...between.matchAll(/^\| `([^`]+)` \|.*\| (.+?) \|$/gm)]
  return new Map(rows.map(([, room = '', imports = '']) => [room, imports]))
}
