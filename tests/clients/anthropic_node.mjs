// What programs that use Anthropic's own client for Node may rely on, whichever
// dialect the upstream speaks: `node anthropic_node.mjs`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';

import * as stage from './stage.mjs';

const HELLO = [{ role: 'user', content: 'hello there' }];
const TOOL = {
  name: 'look_up',
  input_schema: {
    type: 'object',
    properties: { word: { type: 'string' }, days: { type: 'integer' } },
  },
};
const OTHER = {
  name: 'count',
  input_schema: { type: 'object', properties: { up_to: { type: 'integer' } } },
};
const GIVEN = { word: 'tide', days: 7 };
const THINKING = { type: 'enabled', budget_tokens: 1024 };

// No test can be skipped here: what did not pass has failed.
const counted = { tests: 0, passed: 0 };
process.on('exit', () => {
  const failed = counted.tests - counted.passed;
  console.log(`client tests: ${counted.passed} passed, ${failed} failed, 0 skipped`);
  if (failed > 0 || counted.passed === 0) process.exitCode = 1;
});

const dialects = ['openai', 'anthropic', 'bedrock'];
const upstreams = Object.fromEntries(
  await Promise.all(dialects.map(async (dialect) => [dialect, await stage.upstream(dialect)])),
);
const gates = Object.fromEntries(
  await Promise.all(
    dialects.map(async (home) => [home, await stage.gate('dialects', { ...upstreams, home })]),
  ),
);
after(() =>
  Promise.all([...Object.values(gates), ...Object.values(upstreams)].map((program) => program.stop())),
);

const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@anthropic-ai/sdk/package.json', import.meta.url)),
);
console.log(`@anthropic-ai/sdk ${version} on Node ${process.version}`);

const MODELS = {
  openai: (script) => `gpt-${script}`,
  anthropic: (script) => `claude-${script}`,
  bedrock: (script) => `anthropic.claude-${script}-v1:0`,
};

/** One upstream, seen through the gateway in front of it. */
function view(home) {
  const client = new Anthropic({
    baseURL: `http://${gates[home].address}`,
    apiKey: 'client-key',
    maxRetries: 0,
    timeout: 30_000,
  });
  const fields = (script = 'echo', more = {}) => ({
    model: MODELS[home](script),
    max_tokens: 2000,
    messages: HELLO,
    ...more,
  });
  return {
    home,
    client,
    fields,
    upstream: upstreams[home],
    ask: (script, more) => client.messages.create(fields(script, more)),
    stream: (script, more) => client.messages.stream(fields(script, more)).finalMessage(),
  };
}

/** The same sentence about each of these upstreams. */
function check(sentence, homes, body) {
  for (const home of homes) {
    counted.tests += 1;
    test(`${home}: ${sentence}`, async () => {
      await stage.reset(upstreams[home]);
      await body(view(home));
      counted.passed += 1;
    });
  }
}

/** The error of a promise, which must be of this class. */
async function refused(expected, promise) {
  const error = await promise.then(
    () => assert.fail(`no ${expected.name}`),
    (error) => error,
  );
  assert.ok(error instanceof expected, `${error}`);
  return error;
}

function withResults({ content }) {
  const results = content
    .filter(({ type }) => type === 'tool_use')
    .map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: '6.5 m' }));
  return [...HELLO, { role: 'assistant', content }, { role: 'user', content: results }];
}

check('a message is answered', dialects, async ({ ask, stream, fields }) => {
  for (const answer of [await ask(), await stream()]) {
    assert.equal(answer.type, 'message');
    assert.equal(answer.model, fields().model);
    assert.deepEqual(
      answer.content.map(({ type, text }) => [type, text]),
      [['text', 'hello there']],
    );
    assert.equal(answer.stop_reason, 'end_turn');
    assert.equal(answer.usage.output_tokens, 2);
    assert.ok(answer.usage.input_tokens > 0);
  }
});

check('texts come in pieces', dialects, async ({ client, fields }) => {
  const pieces = [];
  const stream = client.messages.stream(fields()).on('text', (piece) => pieces.push(piece));
  assert.equal(await stream.finalText(), 'hello there');
  assert.ok(pieces.length > 1);
  assert.equal(pieces.join(''), 'hello there');
});

check('a tool is called, and what it said goes back', dialects, async ({ ask, stream }) => {
  const tools = [TOOL];
  for (const first of [await ask('tools', { tools }), await stream('tools', { tools })]) {
    assert.equal(first.stop_reason, 'tool_use');
    assert.deepEqual(first.content.at(-1).input, GIVEN);
    const answer = await ask('tools', { tools, messages: withResults(first) });
    assert.equal(answer.content[0].text, 'the tool said: 6.5 m');
  }
});

check('several tools are called at once', dialects, async ({ ask, stream }) => {
  const tools = [TOOL, OTHER];
  for (const first of [await ask('tools-parallel', { tools }), await stream('tools-parallel', { tools })]) {
    const calls = first.content.filter(({ type }) => type === 'tool_use');
    assert.deepEqual(
      calls.map(({ name, input }) => [name, input]),
      [
        ['look_up', GIVEN],
        ['count', { up_to: 7 }],
      ],
    );
    const answer = await ask('tools-parallel', { tools, messages: withResults(first) });
    assert.equal(answer.content[0].text, 'the tool said: 6.5 m; 6.5 m');
  }
});

check('a call is streamed in pieces', dialects, async ({ client, fields }) => {
  const pieces = [];
  const stream = client.messages.stream(fields('tools', { tools: [TOOL] }));
  stream.on('inputJson', (piece) => pieces.push(piece));
  await stream.finalMessage();
  assert.ok(pieces.filter(Boolean).length > 1);
  assert.deepEqual(JSON.parse(pieces.join('')), GIVEN);
});

check('thoughts go back with their seals', ['anthropic', 'bedrock'], async ({ ask, stream }) => {
  const more = { thinking: THINKING, tools: [TOOL] };
  for (const first of [await ask('thinking-tools', more), await stream('thinking-tools', more)]) {
    assert.equal(first.content[0].thinking, 'The tide turns twice a day.');
    const answer = await ask('thinking-tools', { ...more, messages: withResults(first) });
    assert.equal(answer.content.at(-1).text, 'the tool said: 6.5 m');
  }
});

check('the reasons to stop are kept', dialects, async ({ ask, home }) => {
  assert.equal((await ask('echo', { max_tokens: 1 })).stop_reason, 'max_tokens');
  const met = await ask('echo', { stop_sequences: ['there'] });
  // OpenAI's dialect does not tell a stop sequence from an end.
  const expected = home === 'openai' ? ['end_turn', null] : ['stop_sequence', 'there'];
  assert.deepEqual([met.stop_reason, met.stop_sequence], expected);
});

check('an answer is parsed by its schema', dialects, async ({ client, fields }) => {
  const Tide = z.object({ harbour: z.string(), metres: z.number() });
  const output_config = { format: zodOutputFormat(Tide) };
  const answer = await client.messages.parse(fields('echo', { output_config }));
  assert.deepEqual(answer.parsed_output, { harbour: 'tide', metres: 6.5 });
});

check('errors are typed', ['openai', 'anthropic'], async ({ ask, home }) => {
  for (const [status, expected, type] of [
    [400, Anthropic.BadRequestError, 'invalid_request_error'],
    [401, Anthropic.InternalServerError, 'api_error'],
    // The key that lacks a permission is the gateway's, where the upstream says so.
    home === 'anthropic'
      ? [403, Anthropic.InternalServerError, 'api_error']
      : [403, Anthropic.PermissionDeniedError, 'permission_error'],
    [404, Anthropic.NotFoundError, 'not_found_error'],
    [429, Anthropic.RateLimitError, 'rate_limit_error'],
    [500, Anthropic.InternalServerError, 'api_error'],
  ]) {
    const error = await refused(expected, ask(`status-${status}`));
    assert.equal(error.error.error.type, type);
    assert.equal(error.error.request_id, error.headers.get('x-request-id'));
  }
});

check('exceptions are errors of their kind', ['bedrock'], async ({ ask }) => {
  for (const [script, expected, type] of [
    ['validation', Anthropic.BadRequestError, 'invalid_request_error'],
    ['missing', Anthropic.NotFoundError, 'not_found_error'],
    ['throttled', Anthropic.RateLimitError, 'rate_limit_error'],
    ['denied', Anthropic.InternalServerError, 'api_error'],
    ['internal', Anthropic.InternalServerError, 'api_error'],
  ]) {
    const error = await refused(expected, ask(script));
    assert.equal(error.error.error.type, type);
  }
});

check('a limit says when to come back', dialects, async ({ ask, home }) => {
  const script = home === 'bedrock' ? 'throttled' : 'rate-limited-3';
  const error = await refused(Anthropic.RateLimitError, ask(script));
  assert.ok(Number(error.headers.get('retry-after')) > 0);
});

check('the client does not repeat what the gateway has tried', dialects, async ({ home, upstream, client, fields }) => {
  const script = home === 'bedrock' ? 'internal' : 'status-500';
  await refused(
    Anthropic.InternalServerError,
    client.messages.create(fields(script), { maxRetries: 3 }),
  );
  assert.ok((await stage.journal(upstream)).length <= 2);
});

check('a stream that breaks is an error', dialects, async ({ stream, home }) => {
  const own = home === 'bedrock' ? ['wrong-crc', 'throttled-mid-stream', 'error-frame'] : [];
  for (const script of ['error-first', 'error-mid-stream', 'truncated', 'cut', ...own]) {
    await refused(Anthropic.APIError, stream(script));
  }
});

check('what cannot be said is refused by its name', ['openai', 'bedrock'], async ({ ask, upstream }) => {
  const source = { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0xLjQK' };
  const messages = [{ role: 'user', content: [{ type: 'document', source }] }];
  const error = await refused(Anthropic.BadRequestError, ask('echo', { messages }));
  const { code, param } = error.error.error;
  assert.deepEqual([code, param], ['unsupported_parameter', 'messages[0].content[0].type']);
  assert.deepEqual(await stage.journal(upstream), []);
});

check('fifty streams at once get their own answers', dialects, async ({ stream }) => {
  const numbers = [...Array(50).keys()].map((number) => `tide ${number}`);
  const call = async (content) => {
    const answer = await stream('echo', { messages: [{ role: 'user', content }] });
    return answer.content[0].text;
  };
  assert.deepEqual(await Promise.all(numbers.map(call)), numbers);
});

check('a temperature reaches the upstream', dialects, async ({ client, fields, upstream, home }) => {
  const headers = { 'anthropic-version': '2023-06-01' };
  await client.messages.create(fields('echo', { temperature: 0.5 }), { headers });
  const [{ body }] = await stage.journal(upstream);
  assert.equal((home === 'bedrock' ? body.inferenceConfig : body).temperature, 0.5);
});
