import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeTarget, parseRedisUrl } from './url.ts'

test('a single Redis, with and without its parts', () => {
  const bare = { kind: 'single', tls: false, username: null, password: null, db: 0 }
  assert.deepEqual(parseRedisUrl('redis://cache'), { ...bare, address: { host: 'cache', port: 6379 } })
  assert.deepEqual(parseRedisUrl('redis://127.0.0.1:7000/'), { ...bare, address: { host: '127.0.0.1', port: 7000 } })
  assert.deepEqual(parseRedisUrl('redis://[::1]:7000/3'), { ...bare, db: 3, address: { host: '::1', port: 7000 } })
  assert.deepEqual(parseRedisUrl('rediss://app:p%40ss%3Aw@cache:6380/2'), {
    kind: 'single',
    tls: true,
    username: 'app',
    password: 'p@ss:w',
    address: { host: 'cache', port: 6380 },
    db: 2,
  })
  const onlyPassword = parseRedisUrl('redis://:secret@cache')
  assert.deepEqual([onlyPassword.username, onlyPassword.password], [null, 'secret'])
})

test('sentinels', () => {
  assert.deepEqual(parseRedisUrl('redis+sentinel://:pw@h1:26380,h2/uploads/4'), {
    kind: 'sentinel',
    tls: false,
    username: null,
    password: 'pw',
    sentinels: [
      { host: 'h1', port: 26380 },
      { host: 'h2', port: 26379 },
    ],
    master: 'uploads',
    db: 4,
    sentinelPassword: null,
  })
  const own = parseRedisUrl('redis+sentinel://h1/uploads?sentinelPassword=a%26b')
  assert.equal(own.kind === 'sentinel' && own.sentinelPassword, 'a&b')
})

test('a cluster', () => {
  assert.deepEqual(parseRedisUrl('rediss+cluster://u:p@h1:7001,h2:7002'), {
    kind: 'cluster',
    tls: true,
    username: 'u',
    password: 'p',
    nodes: [
      { host: 'h1', port: 7001 },
      { host: 'h2', port: 7002 },
    ],
  })
})

test('what is wrong is said, and no password with it', () => {
  const cases: [string, RegExp][] = [
    ['http://:hunter2@cache', /not one of redis:\/\//],
    ['redis://:hunter2@', /no usable host/],
    ['redis://:hunter2@cache:70000', /port out of range/],
    ['redis://:hunter2@a,b', /several hosts/],
    ['redis://:hunter2@cache/one', /database "one"/],
    ['redis://:hunter2@cache/1/2', /database number/],
    ['redis://:hunter2@cache?ssl=1', /unknown option "ssl"/],
    ['redis://:hunter2%zz@cache', /percent-escape/],
    ['redis+sentinel://:hunter2@h1', /master-name/],
    ['redis+cluster://:hunter2@h1/1', /only database 0/],
  ]
  for (const [url, message] of cases) {
    assert.throws(
      () => parseRedisUrl(url),
      (error: Error) => message.test(error.message) && !error.message.includes('hunter2'),
      url,
    )
  }
})

test('a target is described without its secrets', () => {
  assert.equal(describeTarget(parseRedisUrl('rediss://u:pw@cache/2')), 'Redis cache:6379/2')
  assert.equal(
    describeTarget(parseRedisUrl('redis+sentinel://:pw@h1,h2/m')),
    'Redis primary "m" of sentinels h1:26379,h2:26379',
  )
  assert.equal(describeTarget(parseRedisUrl('redis+cluster://:pw@h1')), 'Redis Cluster h1:6379')
})
