import assert from 'node:assert/strict'
import { test } from 'node:test'
import { help, readOptions } from './options.js'

test('the command of the deployment guide', () => {
  const { options } = readOptions(['--concurrent=1000', '--duration=300'])
  assert.ok(options)
  assert.equal(options.url, 'http://127.0.0.1:3005/api/v1/uploads')
  assert.deepEqual([options.concurrent, options.durationMs, options.rampMs], [1000, 300_000, 30_000])
  assert.deepEqual([options.maxMetadataMs, options.maxErrors], [200, 0.001], 'the thresholds of the guide')
  assert.equal(options.perMinute, 10e9)
})

test('sizes with units, one or several; an address with a path stays', () => {
  const { options } = readOptions([
    '--size=1.5MiB,300KB,7',
    '--chunk=64kib',
    '--url=https://a.example/files/',
    '--verify=both',
  ])
  assert.ok(options)
  assert.deepEqual(options.sizes, [1_572_864, 300_000, 7])
  assert.equal(options.chunk, 65_536)
  assert.equal(options.url, 'https://a.example/files')
  assert.deepEqual(options.verify, ['download', 'info'])
})

test('the token comes from the environment, unless it is given', () => {
  assert.equal(readOptions([], { UPLOAD_TOKEN: 'a' }).options?.token, 'a')
  assert.equal(readOptions(['--token=b'], { UPLOAD_TOKEN: 'a' }).options?.token, 'b')
})

test('every fault is told, with its value', () => {
  const wrong = ['--size=0', '--duration=0', '--url=ftp://x', '--cuts=2', '--cunks=1', 'concurrent=3', '--verify=none']
  const { options, faults } = readOptions(wrong)
  assert.equal(options, undefined)
  assert.equal(faults.length, wrong.length, faults.join('\n'))
  for (const one of wrong)
    assert.ok(
      faults.some((fault) => fault.startsWith(`${one}: `)),
      one,
    )
  assert.match(readOptions(['--ramp=60', '--duration=60']).faults[0] ?? '', /^--ramp=60: expected/)
})

test('help lists what is known', () => {
  for (const name of ['url', 'concurrent', 'duration', 'size', 'chunk', 'token', 'json']) {
    assert.ok(help().includes(`--${name}=`), name)
  }
})
