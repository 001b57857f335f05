// What programs that use OpenAI's own client for Node may rely on:
// `node openai_node.mjs`.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { VERSION } from 'openai/version';
import { z } from 'zod';

import * as stage from './stage.mjs';

const HELLO = [{ role: 'user', content: 'hello' }];
const CONTENT = 'token '.repeat(20);
const TOOL = {
  type: 'function',
  function: {
    name: 'look_up',
    parameters: { type: 'object', properties: { word: { type: 'string' } } },
  },
};

// No test can be skipped here: what did not pass has failed.
const counted = { tests: 0, passed: 0 };
process.on('exit', () => {
  const failed = counted.tests - counted.passed;
  console.log(`client tests: ${counted.passed} passed, ${failed} failed, 0 skipped`);
  if (failed > 0 || counted.passed === 0) process.exitCode = 1;
});

function check(sentence, body) {
  counted.tests += 1;
  test(sentence, async () => {
    await body();
    counted.passed += 1;
  });
}

const mock = await stage.mock();
const slow = await stage.mock('--gap-ms', '50', '--events', '400');
const listener = await stage.listen();
const upstreams = { mock, slow, listener };
const main = await stage.gate('main', upstreams);
const hasty = await stage.gate('hasty', upstreams);
const brief = await stage.gate('brief', upstreams);
after(() => Promise.all([main, hasty, brief, mock, slow, listener].map((program) => program.stop())));

console.log(`openai ${VERSION} on Node ${process.version}`);

function clientOf(program, options = {}) {
  const baseURL = `http://${program.address}/v1`;
  return new OpenAI({ baseURL, apiKey: 'client-key', maxRetries: 0, timeout: 30_000, ...options });
}

const client = clientOf(main);

function chat(fields = {}, { by = client, ...options } = {}) {
  return by.chat.completions.create({ model: 'm', messages: HELLO, ...fields }, options);
}

async function chunksOf(fields = {}, options = {}) {
  const chunks = [];
  for await (const chunk of await chat({ stream: true, ...fields }, options)) chunks.push(chunk);
  return chunks;
}

function contentOf(chunks) {
  return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
}

/** The error of a promise, which must be exactly of this class. */
async function refused(expected, promise) {
  const error = await promise.then(
    () => assert.fail(`no ${expected.name}`),
    (error) => error,
  );
  assert.equal(error.constructor.name, expected.name, `${error}`);
  return error;
}

function describes(error, status, code, source) {
  assert.deepEqual([error.status, error.code], [status, code], `${error}`);
  assert.equal(error.headers.get('x-tidegate-error-source'), source);
  assert.ok(error.requestID);
}

function saysWhenToComeBack(error) {
  const seconds = Number(error.headers.get('retry-after'));
  const ms = Number(error.headers.get('retry-after-ms'));
  // A minute, and one per cent by which the gateway keeps its distance.
  assert.ok(0 < ms && ms <= 61_000, `${ms}`);
  assert.equal(seconds, Math.ceil(ms / 1000));
}

// Answers.

check('a chat is answered', async () => {
  const answer = await chat();
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, 'm');
  assert.equal(answer.choices[0].message.content, CONTENT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.completion_tokens, 20);
});

check('every choice that was asked for comes', async () => {
  const answer = await chat({ n: 3 });
  assert.deepEqual(
    answer.choices.map((choice) => choice.index),
    [0, 1, 2],
  );
});

check('text in any script comes back as it went', async () => {
  const text = 'größe "x" \\ 潮 🌊\n\t\u2028</script>';
  const answer = await chat({ messages: [{ role: 'user', content: `echo:${text}` }] });
  assert.equal(answer.choices[0].message.content, text);
});

check('a tool is called', async () => {
  const { choices } = await chat({ tools: [TOOL] });
  assert.equal(choices[0].finish_reason, 'tool_calls');
  assert.equal(choices[0].message.tool_calls.length, 1);
  assert.deepEqual(choices[0].message.tool_calls[0].function, { name: 'look_up', arguments: '{}' });
});

check('an answer is parsed into a schema', async () => {
  const tide = z.object({ harbour: z.string(), metres: z.number() });
  const answer = await client.chat.completions.parse({
    model: 'm',
    messages: [{ role: 'user', content: 'echo:{"harbour": "Brest", "metres": 6.5}' }],
    response_format: zodResponseFormat(tide, 'tide'),
  });
  assert.deepEqual(answer.choices[0].message.parsed, { harbour: 'Brest', metres: 6.5 });
});

check('the models of the configuration are listed', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  const fallbacks = ['fallback', 'fallback-after-silence', 'fallback-before-content'];
  assert.deepEqual(names.sort(), [...fallbacks, 'listener', 'long', 'stuck']);
});

check('one model can be looked up', async () => {
  assert.equal((await client.models.retrieve('fallback')).id, 'fallback');
  const error = await refused(OpenAI.NotFoundError, client.models.retrieve('nowhere'));
  assert.equal(error.code, 'model_not_found');
});

// Embeddings.

async function embed(input, fields = {}) {
  const { data } = await client.embeddings.create({ model: 'm', input, ...fields });
  assert.deepEqual(
    data.map((item) => item.index),
    [...data.keys()],
  );
  return data.map((item) => item.embedding);
}

check('the default form holds the numbers of the float form', async () => {
  const [packed] = await embed('tide');
  const [floats] = await embed('tide', { encoding_format: 'float' });
  assert.equal(packed.length, 8);
  floats.forEach((value, at) => assert.ok(Math.abs(value - packed[at]) < 1e-6));
});

check('base64 stays text where it is asked for', async () => {
  const [packed] = await embed('tide', { encoding_format: 'base64' });
  assert.equal(typeof packed, 'string');
});

check('a list of texts is embedded in order', async () => {
  assert.deepEqual(await embed(['tide', 'gate']), [...(await embed('tide')), ...(await embed('gate'))]);
});

check('token ids are embedded', async () => {
  assert.equal((await embed([1, 2, 3])).length, 1);
  assert.equal((await embed([[1, 2], [3]])).length, 2);
});

// Streams.

check('a stream has the events of the upstream', async () => {
  const told = (chunks) => chunks.flatMap((chunk) => chunk.choices);
  const through = await chunksOf();
  assert.deepEqual(told(through), told(await chunksOf({}, { by: clientOf(mock) })));
  assert.equal(contentOf(through), CONTENT);
  assert.equal(through.at(-1).choices[0].finish_reason, 'stop');
});

check('only the last chunk says what happened on the way', async () => {
  const chunks = await chunksOf();
  const { overhead_ms: overhead, ...closing } = chunks.pop().tidegate;
  assert.deepEqual(closing, { model: 'mock/m', attempts: 1, cache: 'bypass', degraded: [] });
  assert.ok(overhead >= 0);
  assert.ok(!chunks.some((chunk) => 'tidegate' in chunk));
});

check('usage comes where it was asked for', async () => {
  const chunks = await chunksOf({ stream_options: { include_usage: true } });
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 20);
  assert.ok(last.tidegate);
  assert.ok(!chunks.some((chunk) => chunk.usage));
});

check('usage does not come where nobody asked', async () => {
  for (const fields of [{}, { stream_options: { include_usage: false } }]) {
    const chunks = await chunksOf(fields);
    assert.ok(!chunks.some((chunk) => chunk.usage || chunk.choices.length === 0));
  }
});

check('a stream ends in done', async () => {
  const response = await chat({ stream: true }).asResponse();
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const events = (await response.text()).trimEnd().split('\n\n');
  assert.equal(events.indexOf('data: [DONE]'), events.length - 1);
});

check('an upstream without done still makes a whole stream', async () => {
  const chunks = await chunksOf({ model: 'no-done' });
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

check('a tool call is streamed', async () => {
  const chunks = await chunksOf({ tools: [TOOL] });
  const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  assert.ok(calls.every((call) => call.index === 0));
  assert.equal(calls[0].function.name, 'look_up');
  assert.equal(calls.map((call) => call.function.arguments).join(''), '{}');
});

check('the accumulating helper finishes', async () => {
  const stream = client.chat.completions.stream({ model: 'm', messages: HELLO });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, CONTENT);
});

check('an answer that breaks off is an error, not an end', async () => {
  for (const model of ['truncate', 'reset-mid', 'error-after-content']) {
    let content = '';
    const read = async () => {
      for await (const chunk of await chat({ model, stream: true })) content += contentOf([chunk]);
    };
    const error = await refused(OpenAI.APIError, read());
    assert.ok(content && CONTENT.startsWith(content), `${model}: ${content}`);
    assert.match(error.code, /^upstream_/);
  }
});

check('a stream that never begins is refused with a status', async () => {
  for (const model of ['status-500', 'garbage', 'empty', 'reset', 'html']) {
    await refused(OpenAI.InternalServerError, chat({ model, stream: true }));
  }
});

// Errors.

check('the gateway refuses what no upstream should see', async () => {
  for (const [fields, code, param] of [
    [{ n: 17 }, 'limit_exceeded', 'n'],
    [{ n: 0 }, 'invalid_parameter', 'n'],
    [{ api_base: 'http://127.0.0.1:1' }, 'unsupported_parameter', 'api_base'],
    [{ messages: [] }, 'invalid_parameter', 'messages'],
    [{ model: '' }, 'invalid_parameter', 'model'],
  ]) {
    const error = await refused(OpenAI.BadRequestError, chat(fields));
    describes(error, 400, code, 'gateway');
    assert.equal(error.param, param);
  }
});

check("the upstream's verdict on a request keeps its class and words", async () => {
  for (const [status, expected] of [
    [400, OpenAI.BadRequestError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [409, OpenAI.ConflictError],
    [413, OpenAI.APIError],
    [422, OpenAI.UnprocessableEntityError],
  ]) {
    const error = await refused(expected, chat({ model: `status-${status}` }));
    describes(error, status, status === 404 ? 'model_not_found' : 'upstream_rejected', 'provider');
    assert.ok(error.message.includes(`the mock answers with status ${status}`), error.message);
  }
});

check('a broken upstream is a bad gateway', async () => {
  for (const [model, code] of [
    ['status-500', 'upstream_status'],
    ['status-502', 'upstream_status'],
    ['html', 'upstream_status'],
    ['reset', 'upstream_reset'],
    ['reset-mid', 'upstream_reset'],
    ['truncate', 'upstream_reset'],
    ['garbage', 'upstream_garbage'],
    ['empty', 'upstream_garbage'],
    ['error-in-answer', 'upstream_error_in_answer'],
  ]) {
    describes(await refused(OpenAI.InternalServerError, chat({ model })), 502, code, 'provider');
  }
});

check("a key that the upstream refuses is not the caller's", async () => {
  const error = await refused(OpenAI.InternalServerError, chat({ model: 'status-401' }));
  describes(error, 502, 'upstream_unauthorized', 'provider');
});

check('an unknown model is not found', async () => {
  const call = chat({ model: 'nowhere' }, { by: clientOf(hasty) });
  const error = await refused(OpenAI.NotFoundError, call);
  describes(error, 404, 'model_not_found', 'gateway');
  assert.equal(error.param, 'model');
});

check('a body beyond the maximum is too large', async () => {
  const messages = [{ role: 'user', content: 'x'.repeat(70_000) }];
  const error = await refused(OpenAI.APIError, chat({ messages }, { by: clientOf(hasty) }));
  describes(error, 413, 'request_too_large', 'gateway');
});

check('an upstream without answer meets the deadline', async () => {
  for (const stream of [false, true]) {
    const call = chat({ model: 'hang', stream }, { by: clientOf(hasty) });
    const error = await refused(OpenAI.InternalServerError, call);
    describes(error, 504, 'deadline_exceeded', 'gateway');
  }
});

check('an open circuit says when to come back', async () => {
  const broken = () =>
    refused(OpenAI.InternalServerError, chat({ model: 'broken' }, { by: clientOf(hasty) }));
  for (let failure = 1; failure <= 3; failure += 1) {
    describes(await broken(), 502, 'upstream_status', 'provider');
  }
  const error = await broken();
  describes(error, 503, 'no_healthy_model', 'gateway');
  saysWhenToComeBack(error);
});

check('a limit that stays reached says when to come back', async () => {
  const by = clientOf(hasty);
  await chat({ model: 'once' }, { by });
  await chunksOf({ model: 'once-streamed' }, { by });
  for (const fields of [{ model: 'once' }, { model: 'once-streamed', stream: true }]) {
    const error = await refused(OpenAI.RateLimitError, chat(fields, { by }));
    describes(error, 429, 'rate_limit_exceeded', 'gateway');
    saysWhenToComeBack(error);
  }
});

check('an upstream without room is a rate limit', async () => {
  for (const model of ['throttle', 'unavailable', 'overloaded']) {
    const error = await refused(OpenAI.RateLimitError, chat({ model }));
    assert.deepEqual([error.status, error.code], [429, 'rate_limit_exceeded']);
  }
});

check('the client waits as told and then succeeds', async () => {
  let requests = 0;
  const counting = (...request) => {
    requests += 1;
    return fetch(...request);
  };
  const by = clientOf(brief, { maxRetries: 2, fetch: counting });
  const started = performance.now();
  await chat({ model: 'waits' }, { by });
  const second = await chat({ model: 'waits' }, { by });
  assert.equal(second.choices[0].message.content, CONTENT);
  assert.equal(requests, 3);
  const took = performance.now() - started;
  assert.ok(2_900 < took && took < 20_000, `${took}`);
});

check('a client that gives up raises its own time-out', async () => {
  const call = () => chat({ model: 'stuck' }, { by: clientOf(main, { timeout: 300 }) });
  await leaving(() => refused(OpenAI.APIConnectionTimeoutError, call()));
});

check('a stopped gateway is a connection error', async () => {
  const program = await stage.gate('brief', upstreams);
  const by = clientOf(program);
  await chat({}, { by });
  assert.equal(await program.stop(), 0);
  await refused(OpenAI.APIConnectionError, chat({}, { by }));
});

// Headers.

check('an answer says what happened on the way', async () => {
  const { headers } = await chat().asResponse();
  assert.equal(headers.get('x-tidegate-model'), 'mock/m');
  assert.equal(headers.get('x-tidegate-attempts'), '1');
  assert.equal(headers.get('x-tidegate-cache'), 'bypass');
  assert.equal(headers.get('x-tidegate-degraded'), null);
  assert.ok(Number(headers.get('x-tidegate-overhead-ms')) >= 0);
});

function fellBack(headers) {
  assert.equal(headers.get('x-tidegate-model'), 'mock/m');
  assert.equal(headers.get('x-tidegate-degraded'), 'fallback:mock/m');
  assert.ok(Number(headers.get('x-tidegate-attempts')) >= 2);
}

check('the next model of a chain takes over', async () => {
  for (const model of ['fallback', 'fallback-after-silence']) {
    const { data, response } = await chat({ model }).withResponse();
    fellBack(response.headers);
    assert.equal(data.choices[0].message.content, CONTENT);
  }
});

check('the next model takes over a stream that has no content yet', async () => {
  for (const model of ['fallback', 'fallback-before-content']) {
    const { data, response } = await chat({ model, stream: true }).withResponse();
    fellBack(response.headers);
    let last;
    for await (const chunk of data) last = chunk;
    assert.equal(last.tidegate.model, 'mock/m');
  }
});

check('a request id is kept', async () => {
  const headers = { 'x-request-id': 'order-4711' };
  assert.equal((await chat({}, { headers }))._request_id, 'order-4711');
  const error = await refused(OpenAI.BadRequestError, chat({ n: 17 }, { headers }));
  assert.equal(error.requestID, 'order-4711');
});

check('a request without id gets its own', async () => {
  const [first, second] = [await chat(), await chat()].map((answer) => answer._request_id);
  assert.ok(first && second && first !== second);
});

check('an answer is cached where that is asked for', async () => {
  const seen = [];
  for (let call = 0; call < 2; call += 1) {
    const { headers } = await chat({ seed: 4711, tidegate: { cache: 'use' } }).asResponse();
    seen.push(headers.get('x-tidegate-cache'));
  }
  assert.deepEqual(seen, ['miss', 'hit']);
});

// What the upstream hears.

check('unknown fields pass in both directions', async () => {
  const extra = { x_unknown_field: { deep: [1, 2.5, null, 'ü'] } };
  const answer = await chat({ model: 'listener', seed: 7, ...extra });
  assert.deepEqual(listener.body, { model: 'heard', messages: HELLO, seed: 7, ...extra });
  assert.equal(answer.x_unknown_answer_field, 7);
});

check('what is meant for the gateway stays there', async () => {
  await chat({ model: 'listener', tidegate: { cache: 'skip' } });
  assert.ok(!('tidegate' in listener.body));
  assert.equal(listener.headers.authorization, `Bearer ${stage.LISTENER_KEY}`);
  assert.ok(!JSON.stringify(listener.headers).includes('client-key'));
});

// Many at once, and those who leave early.

/** Runs `leave`; the slow upstream must see one more client hang up. */
async function leaving(leave) {
  const { disconnects } = await stage.stats(slow);
  await leave();
  await stage.eventually(async () => {
    const seen = await stage.stats(slow);
    return seen.disconnects === disconnects + 1 && seen.in_flight === 0;
  });
}

check('fifty calls at once get their own answers', async () => {
  await stage.reset(mock);
  const numbers = [...Array(50).keys()].map(String);
  const call = async (number) => {
    const messages = [{ role: 'user', content: `echo:${number}` }];
    return (await chat({ model: 'slow-200', messages })).choices[0].message.content;
  };
  assert.deepEqual(await Promise.all(numbers.map(call)), numbers);
  const seen = await stage.stats(mock);
  assert.equal(seen.requests, 50);
  assert.ok(seen.max_in_flight > 10, `${seen.max_in_flight}`);
});

check('fifty streams at once all end', async () => {
  const all = await Promise.all([...Array(50).keys()].map(() => chunksOf()));
  for (const chunks of all) {
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
    assert.ok(chunks.at(-1).tidegate);
  }
});

check('a stream that is left early stops the upstream', async () => {
  await leaving(async () => {
    let chunks = 0;
    for await (const _ of await chat({ model: 'long', stream: true })) {
      chunks += 1;
      if (chunks === 3) break;
    }
  });
});

check('an aborted call stops the upstream', async () => {
  for (const stream of [false, true]) {
    await leaving(async () => {
      const leave = new AbortController();
      const call = chat({ model: 'stuck', stream }, { signal: leave.signal });
      const aborted = refused(OpenAI.APIUserAbortError, call);
      await stage.eventually(async () => (await stage.stats(slow)).in_flight === 1);
      leave.abort();
      await aborted;
    });
  }
});
