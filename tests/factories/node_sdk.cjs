// Calls methods of the unmodified Node SDK. Reads {"key", "url", "calls": [[method path, arguments], …]} from stdin and
// writes a list of answers: {"answer"} or, where the SDK throws, {"status", "message"}.
const { Portkey } = require('portkey-ai');

const called = async (client, [path, given]) => {
  const names = path.split('.');
  const method = names.pop();
  const of = names.reduce((part, name) => part[name], client);
  try {
    return { answer: await of[method](...given) };
  } catch (error) {
    return { status: error.status, message: error.message };
  }
};

const main = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { key, url, calls } = JSON.parse(Buffer.concat(chunks).toString());
  const client = new Portkey({ apiKey: key, baseURL: url });
  const answers = [];
  for (const call of calls) answers.push(await called(client, call));
  process.stdout.write(JSON.stringify(answers));
};

main();
