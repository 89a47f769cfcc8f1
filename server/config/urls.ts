/** Connection URLs of Postgres and Redis: which are right, and how a password that is given apart gets in. */
import { type Kind, Refusal } from './kinds.ts'

const PARTS = /^([a-z+]+:\/\/)(?:([^@/]*)@)?([^@/]+)(.*)$/
const HOSTS = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/

interface Parts {
  readonly scheme: string
  readonly user: string | undefined
  readonly hosts: readonly string[]
  readonly rest: string
}

function parts(url: string): Parts | null {
  const [, scheme, user, hosts, rest] = PARTS.exec(url) ?? []
  if (scheme === undefined || hosts === undefined) return null
  const list = hosts.split(',')
  return list.every((host) => HOSTS.test(host)) ? { scheme, user, hosts: list, rest: rest ?? '' } : null
}

/** `postgres://user:password@host:5432/database`; several hosts are refused, since the driver takes one. */
export function postgresUrl(): Kind<string> {
  const advice = 'give postgres://user@host:5432/database (one host; special characters of a password percent-encoded)'
  return {
    name: 'URL',
    read(value) {
      const url = parts(value)
      const right = url !== null && /^postgres(ql)?:\/\/$/.test(url.scheme) && url.hosts.length === 1
      return right && URL.canParse(value) && /^\/[^/?]+/.test(url.rest) ? value : new Refusal(advice)
    },
    write: (value) => value,
  }
}

const REDIS_FORMS = [
  { scheme: /^rediss?:\/\/$/, hosts: 1, rest: /^(\/\d*)?$/ },
  {
    scheme: /^rediss?\+sentinel:\/\/$/,
    hosts: Number.POSITIVE_INFINITY,
    rest: /^\/[^/?]+(\/\d+)?(\?sentinelPassword=[^&#]+)?$/,
  },
  { scheme: /^rediss?\+cluster:\/\/$/, hosts: Number.POSITIVE_INFINITY, rest: /^(\/0?)?$/ },
]

/** One Redis, Sentinel or Cluster. */
export function redisUrl(): Kind<string> {
  const advice =
    'give redis://host:6379/0, redis+sentinel://:password@h1:26379,h2:26379/master-name/0 or redis+cluster://h1:6379,h2:6379 (with TLS rediss...)'
  return {
    name: 'URL',
    read(value) {
      const url = parts(value)
      const form = REDIS_FORMS.find(({ scheme }) => url !== null && scheme.test(url.scheme))
      if (!url || !form || url.hosts.length > form.hosts || !form.rest.test(url.rest)) return new Refusal(advice)
      return value
    },
    write: (value) => value,
  }
}

/** The URL with `password` put in where it had none. */
export function withPassword(url: string, password: string | null): string {
  const split = parts(url)
  if (!split || password === null || split.user?.includes(':')) return url
  return `${split.scheme}${split.user ?? ''}:${encodeURIComponent(password)}@${split.hosts.join(',')}${split.rest}`
}

/** Does the URL bring a password along? */
export function hasPassword(url: string): boolean {
  return parts(url)?.user?.includes(':') ?? false
}

const SSL_MODES: Readonly<Record<string, 'off' | 'require' | 'verify'>> = {
  disable: 'off',
  allow: 'require',
  prefer: 'require',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify',
  'verify-full': 'verify',
}

/** Takes libpq's `sslmode` out of a Postgres URL, so that one place decides. `mode` null: the URL says nothing. */
export function withoutSslMode(url: string): { url: string; mode: 'off' | 'require' | 'verify' | null } {
  const parsed = URL.parse(url)
  const said = parsed?.searchParams.get('sslmode')
  if (!parsed || said === null || said === undefined) return { url, mode: null }
  parsed.searchParams.delete('sslmode')
  return { url: parsed.href, mode: SSL_MODES[said] ?? 'verify' }
}
