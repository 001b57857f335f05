"""The three dialects that stand behind the gateway, as the tests need to know them.

Each says how its upstream names a script, and reads from a request that the
upstream heard what a test wants to find there, free of the dialect.
"""


class OpenAI:
    name = "openai"

    def model(self, script):
        return f"gpt-{script}"

    def system(self, body):
        found = []
        for message in body["messages"]:
            if message["role"] in ("system", "developer"):
                content = message["content"]
                found += [content] if isinstance(content, str) else [part["text"] for part in content]
        return found

    def turns(self, body):
        return [
            (message["role"], self._text(message.get("content")))
            for message in body["messages"]
            if message["role"] not in ("system", "developer")
        ]

    def _text(self, content):
        if isinstance(content, str):
            return content
        return " ".join(part["text"] for part in content or [] if part["type"] == "text")

    def images(self, body):
        urls = [
            part["image_url"]["url"]
            for message in body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        return [tuple(url.removeprefix("data:").split(";base64,")) for url in urls]

    def sampling(self, body):
        return {name: body[name] for name in ("temperature", "top_p") if name in body}

    def stops(self, body):
        stop = body.get("stop", [])
        return [stop] if isinstance(stop, str) else stop

    def most(self, body):
        return body.get("max_completion_tokens") or body.get("max_tokens")

    def tools(self, body):
        return {
            tool["function"]["name"]: (tool["function"].get("description"), tool["function"]["parameters"])
            for tool in body["tools"]
        }


class Anthropic:
    name = "anthropic"

    def model(self, script):
        return f"claude-{script}"

    def system(self, body):
        system = body.get("system", [])
        return [system] if isinstance(system, str) else [block["text"] for block in system]

    def turns(self, body):
        return [(message["role"], self._text(message["content"])) for message in body["messages"]]

    def _text(self, content):
        if isinstance(content, str):
            return content
        return " ".join(block["text"] for block in content if block["type"] == "text")

    def images(self, body):
        return [
            (block["source"]["media_type"], block["source"]["data"])
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "image"
        ]

    def sampling(self, body):
        return {name: body[name] for name in ("temperature", "top_p") if name in body}

    def stops(self, body):
        return body.get("stop_sequences", [])

    def most(self, body):
        return body["max_tokens"]

    def tools(self, body):
        return {tool["name"]: (tool.get("description"), tool["input_schema"]) for tool in body["tools"]}


class Bedrock:
    name = "bedrock"

    def model(self, script):
        return f"anthropic.claude-{script}-v1:0"

    def system(self, body):
        return [block["text"] for block in body.get("system", []) if "text" in block]

    def turns(self, body):
        return [
            (message["role"], " ".join(block["text"] for block in message["content"] if "text" in block))
            for message in body["messages"]
        ]

    def images(self, body):
        found = [block["image"] for message in body["messages"] for block in message["content"] if "image" in block]
        return [(f"image/{image['format']}", image["source"]["bytes"]) for image in found]

    def sampling(self, body):
        names = {"temperature": "temperature", "topP": "top_p"}
        inference = body.get("inferenceConfig", {})
        return {ours: inference[theirs] for theirs, ours in names.items() if theirs in inference}

    def stops(self, body):
        return body.get("inferenceConfig", {}).get("stopSequences", [])

    def most(self, body):
        return body["inferenceConfig"].get("maxTokens")

    def tools(self, body):
        found = [tool["toolSpec"] for tool in body["toolConfig"]["tools"] if "toolSpec" in tool]
        return {tool["name"]: (tool.get("description"), tool["inputSchema"]["json"]) for tool in found}
