"""Renders conversations with every template here as the transformers library does, into cases.json.

    python make.py [FOLDER]        # needs transformers 5

The templates are those of the models' own repositories: Qwen3-0.6B and Mistral-Nemo-Instruct-2407 (Apache 2.0),
Phi-3.5-mini-instruct and zephyr-7b-beta (MIT). A case without a text is one that the template refuses.
"""

import json
import sys
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
SYSTEM, USER, ANSWER = ["system", "Be  kind.\n"], ["user", " Why is <b>the sky</b> blue? \n"], ["assistant", "It's \"Rayleigh\" 🦀. "]
CONVERSATIONS = [
    [USER],
    [SYSTEM, USER],
    [USER, ANSWER, ["user", "And now?"]],
    [SYSTEM, USER, ANSWER, ["user", "And\n\nnow?"]],
    [SYSTEM, USER, ["assistant", "<think>\nhm\n</think>\n\nSo."], ["user", "Ok"], ["assistant", "Yes"], ["user", "漢字"]],
    [USER, ANSWER, ["tool", "{\"t\": 1}"], ["tool", "2"]],
    [USER, ["user", "again"]],
    [["user", ""]],
]


def render(template, conversation):
    messages = [{"role": role, "content": text} for role, text in conversation]
    try:
        texts, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
    except (jinja2.exceptions.TemplateError, TypeError) as error:
        return None if isinstance(error, jinja2.exceptions.TemplateError) else str(error)
    return texts[0]


def main():
    cases = {}
    for path in sorted(HERE.glob("*.jinja")):
        template = path.read_text()
        cases[path.stem] = [{"messages": talk, "text": render(template, talk)} for talk in CONVERSATIONS]
    (HERE / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
