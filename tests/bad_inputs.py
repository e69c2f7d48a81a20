"""The table of bad inputs that ``test_bad_inputs.py`` runs.

Each case is a recipe (or a piece of one), perhaps a template body, perhaps odd models, and what
the first error has to say: which file, on which line, which words, which remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCORED = "evaluation: {tasks: {x: {task: t, metric: m}}}"
LINEAR = """\
merge_method: linear
models:
  - {model: models/src/a, parameters: {weight: 0.5}}
  - {model: models/src/b, parameters: {weight: 0.5}}
"""
TIES = """\
merge_method: ties
base_model: models/src/base
models:
  - {model: models/src/a, parameters: {weight: 0.5, density: 0.5}}
  - {model: models/src/b, parameters: {weight: 0.5, density: 0.5}}
"""
SLICES = """\
merge_method: linear
parameters: {normalize: false}
slices:
  - sources:
      - {model: models/src/a, layer_range: [0, 2], parameters: {weight: 0.5}}
      - {model: models/src/b, layer_range: [0, 2], parameters: {weight: 0.5}}
  - sources:
      - {model: models/src/a, layer_range: [2, 4], parameters: {weight: 0.5}}
      - {model: models/src/b, layer_range: [2, 4], parameters: {weight: 0.5}}
"""
STAGES = """\
name: s1
merge_method: linear
models:
  - {model: models/src/a, parameters: {weight: 0.5}}
  - {model: models/src/b, parameters: {weight: 0.5}}
---
merge_method: linear
models:
  - {model: s1, parameters: {weight: 0.5}}
  - {model: models/src/c, parameters: {weight: 0.5}}
"""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: What is wrong.
        at: Part of the line that the error points at.
        says: Part of its message.
        help: Part of its remedy.
        recipe: Lines that replace or follow those of a good recipe with the same first word.
        body: Template body, when the template is the test's own.
        methods: Methods its header lists.
        genes: Its genes, as YAML of one line each.
        header: Whole template file, instead of ``body``.
        file: Name of the file the error points at.
        text: Whole recipe file, instead of ``recipe``.
        extra: Further files: name to text.
    """

    name: str
    at: str
    says: str
    help: str = ""
    recipe: tuple[str, ...] = ()
    body: str | None = None
    methods: str = "linear, ties, slerp, dare_ties, della, breadcrumbs, task_arithmetic, nuslerp"
    genes: str = ""
    header: str | None = None
    file: str = "r.yaml"
    text: str | None = None
    extra: dict[str, str] = field(default_factory=dict)


def recipe_cases() -> list[Case]:
    """Mistakes in the recipe itself."""
    return [
        Case("unknown key", "modles", "unknown key 'modles'", "did you mean 'models'",
             ("modles: {}",)),
        Case("duplicate key", "seed: 2", "duplicate key 'seed'", "keep one",
             ("seed: 1", "seed: 2")),
        Case("anchor", "&x", "anchors", "write the value out", ("seed: &x 1",)),
        Case("tag", "!!python", "tags are not allowed", "plain value",
             ("name: !!python/name:os.system x",)),
        Case("broken yaml", "", "not valid YAML", "", ("seed: [1",)),
        Case("not a number", ".nan", "finite", "", ("genome: {weight: .nan}",)),
        Case("unknown kind", "kind: marge", "unknown kind 'marge'", "did you mean 'merge'",
             ("kind: marge",)),
        Case("no models", "kind", "models is missing", "",
             text="kind: merge\ntemplate: linear\n"),
        Case("empty file", "", "expected a mapping", "", text="\n"),
        Case("unknown key of a model", "revison", "unknown key 'revison'", "'revision'",
             ("models: {a: {path: ../a, revison: x}, b: {path: ../b}}",)),
        Case("alias with a dot", "a.b", "models", "", ("models: {a.b: {path: ../a}}",)),
        Case("alias that means all tensors", "other", "alias 'other'", "rename",
             ("models: {other: {path: ../a}, b: {path: ../b}}",)),
        Case("alias of the base", "base", "alias 'base'", "rename",
             ("models: {base: {path: ../a}, b: {path: ../b}}",)),
        *(
            Case(f"alias {name}", name, f"alias '{name}'", "rename",
                 (f"models: {{{name}: {{path: ../a}}, b: {{path: ../b}}}}",))
            for name in ("uniform", "winner", "control")
        ),
        Case("no held-out items", "0", "needs held-out items", "such as 0.5",
             ("kind: experiment",
              "evaluation: {tasks: {x: {task: t, metric: m}}, holdout: 0}")),
        Case("text for a number", "seed: x", "seed", "", ("seed: x",)),
        Case("number as text", "'8'", "population", "",
             ("kind: experiment", SCORED, "search: {population: '8'}")),
        Case("unknown template", "template: liner", "unknown template 'liner'", "'linear'",
             ("template: liner",)),
        Case("unknown gene", "wieght", "reads no gene 'wieght'", "'weight'",
             ("genome: {wieght: 0.5}",)),
        Case("gene beyond its range", "weight: 2", "from 0 to 1, got 2", "another range",
             text="kind: merge\nfrom: e.yaml\ngenome: {weight: 2}\n",
             extra={"e.yaml": "experiment"}),
        Case("gene of one model beyond its range", "b: 7", "got 7", "another range",
             text="kind: merge\nfrom: e.yaml\ngenome:\n  weight:\n    a: 0\n    b: 7\n    c: 0\n",
             extra={"e.yaml": "experiment"}),
        Case("word for a gene", "half", "expected a number", "another range",
             ("genome: {weight: half}",)),
        Case("gene of an unknown model", "d: 0.5", "got 'd'", "",
             ("genome:", "  weight:", "    a: 0.5", "    d: 0.5")),
        Case("range in a merge", "weight", "one value of 'weight'", "experiment",
             ("genome: {weight: {float: [0, 1]}}",)),
        Case("reversed range", "[1, 0]", "low < high", "swap",
             ("kind: experiment", SCORED, "genome: {weight: {float: [1, 0], per: model}}")),
        Case("range of one point", "[1, 1]", "low < high", "fix the gene",
             ("kind: experiment", SCORED, "genome: {weight: {float: [1, 1], per: model}}")),
        Case("two kinds of gene", "int", "one of float, int or choice", "",
             ("kind: experiment", SCORED, "genome: {weight: {float: [0, 1], int: [0, 1]}}")),
        Case("unknown per", "per: layer", "unknown per 'layer'", "layer_group",
             ("kind: experiment", SCORED, "genome: {weight: {float: [0, 1], per: layer}}")),
        Case("condition on no gene", "when", "no gene 'wight'", "weight",
             ("kind: experiment", SCORED,
              "genome: {normalize: {choice: [true, false], when: {wight: 1}}}")),
        Case("first value beyond the range", "init: 3", "got 3", "",
             ("kind: experiment", SCORED, "genome: {weight: {float: [0, 1], init: 3}}")),
        Case("donor that is no model", "tokenizer: d", "'d'", "expected one of",
             ("tokenizer: d",)),
        Case("seed recipe that is not there", "none.yaml", "no recipe file", "",
             ("kind: experiment", SCORED, "seeds: [none.yaml]")),
        Case("more groups than layers", "layer_groups: 9", "1 to 4 layer groups", "layer_groups",
             ("layer_groups: 9",)),
        Case("candidate of nothing", "from: none.yaml", "no recipe at", "",
             text="kind: merge\nfrom: none.yaml\ngenome: {}\n"),
        Case("candidate without a gene", "genome", "gene 'weight' has no value", "Share",
             text="kind: merge\nfrom: e.yaml\ngenome: {}\n",
             extra={"e.yaml": "experiment"}),
        Case("candidate with an unknown gene", "wight", "unknown gene 'wight'", "'weight'",
             text="kind: merge\nfrom: e.yaml\ngenome: {weight: 0.5, wight: 1}\n",
             extra={"e.yaml": "experiment"}),
        Case("candidate whose weights sum to zero", "a: 0", "sum to 0", "another weight",
             text="kind: merge\nfrom: e.yaml\ngenome:\n  weight:\n    a: 0\n    b: 0\n    c: 0\n",
             extra={"e.yaml": "experiment"}),
        Case("weight of a model that nothing reads", "weight: 0.3", "nothing reads", "",
             ("template: karcher", "models: {a: {path: ../a, weight: 0.3}, b: {path: ../b}}")),
    ]  # fmt: skip


def model_cases() -> list[Case]:
    """Models that cannot be found, read, or merged with each other."""

    def pair(second: str, *more: str) -> tuple[str, ...]:
        return (f"models: {{a: {{path: ../a}}, x: {{path: {second}}}}}", *more)

    return [
        Case("no folder", "../none", "no model at '../none'", "hub id", pair("../none")),
        Case("unknown zoo model", "zoo:none", "no zoo model 'none'", "expected one of",
             pair("'zoo:none'")),
        Case("no config", "../no_config", "without config.json", "config.json",
             pair("../no_config")),
        Case("no weights", "../no_weights", "no safetensors", "safetensors",
             pair("../no_weights")),
        Case("pickled weights", "../pickled", "no safetensors", "run code", pair("../pickled")),
        Case("truncated weights", "../truncated", "no whole safetensors", "fetch it again",
             pair("../truncated")),
        Case("a file that is no GGUF", "../a/config.json", "not a GGUF", "model folder",
             pair("../a/config.json")),
        Case("a damaged GGUF", "../damaged.gguf", "damaged GGUF", "fetch it again",
             pair("../damaged.gguf")),
        Case("LoRA in mergekit's spelling", "owner/x+owner/y", "a LoRA", "lora: owner/y",
             pair("owner/x+owner/y")),
        Case("revision in mergekit's spelling", "owner/x@main", "a revision", "revision: main",
             pair("owner/x@main")),
        Case("revision of a folder", "revision: v1", "has no revision 'v1'", "leave revision out",
             ("models: {a: {path: ../a, revision: v1}, b: {path: ../b}}",)),
        Case("revision of a zoo model", "revision: main", "has no revision", "owner/name",
             ("models: {a: {path: zoo:coder}, b: {path: zoo:fast}}",
              "base: {path: zoo:base, revision: main}")),
        Case("facts that the model denies", "num_hidden_layers: 7", "facts.num_hidden_layers",
             "leave facts: out",
             ("models: {a: {path: ../a, facts: {architecture: Qwen2ForCausalLM, "
              "num_hidden_layers: 7, hidden_size: 8, vocab_size: 24, "
              "tie_word_embeddings: true}}, b: {path: ../b}}",)),
        Case("another architecture", "x: ", "differ in architecture", "replace x",
             pair("../llama")),
        Case("another hidden size", "x: ", "differ in hidden size: 8 and 16", "replace x",
             pair("../wide")),
        Case("another number of heads", "x: ", "differ in number of attention heads",
             "replace x", pair("../heads")),
        Case("another depth", "layout.inputs", "4 and 6 layers", "same number of layers",
             pair("../deep"), file="linear.yaml.j2"),
        Case("unequal rope", "x: ", "rotary embedding: theta 10000 and theta 1e+06",
             "config_from", pair("../rope")),
        Case("unequal rope scaling", "x: ", "rotary embedding", "config_from",
             pair("../yarn")),
        Case("unequal norm epsilon", "x: ", "norm epsilon", "config_from", pair("../eps")),
        Case("tied and untied", "x: ", "tying of embeddings: tied and untied",
             "config_from: x", pair("../untied")),
        Case("tied donor of a merged head", "config_from: a", "ties its embeddings",
             "config_from: x", pair("../untied", "config_from: a")),
        Case("untied donor without a head", "config_from: base", "has a head of its own",
             "config_from: a",
             ("base: {path: ../untied}", "config_from: base", "template: linear")),
        Case("unequal number of tokens", "x: ", "vocabulary size: 24 and 32", "tokenizer:",
             pair("../rows")),
        Case("unequal tokens", "x: ", "differ in vocabulary", "tokenizer:", pair("../words")),
        Case("unequal chat templates", "x: ", "chat template: none and", "chat_template: x",
             pair("../chat")),
        Case("a quantised model", "x: ", "x is quantised (gptq)", "made from",
             pair("../quantised")),
        Case("a tensor of another shape", "x: ", "input_layernorm.weight is 8 in a and 4 in x",
             "same make", pair("../other_shape")),
        Case("a missing tensor", "x: ", "x has no tensor model.layers.3.input_layernorm.weight",
             "same make", pair("../missing")),
        Case("recipes in a circle", "path: r.yaml", "in a circle: r.yaml -> r.yaml",
             "no recipe", ("models: {a: {path: r.yaml}, b: {path: ../b}}",)),
        Case("recipes in a wider circle", "path: r.yaml", "r.yaml -> q.yaml -> r.yaml",
             "no recipe", ("models: {a: {path: q.yaml}, b: {path: ../b}}",), file="q.yaml",
             extra={"q.yaml": "circle"}),
        Case("no such recipe", "none.yaml", "no recipe at 'none.yaml'", "looked for",
             ("models: {a: {path: none.yaml}, b: {path: ../b}}",)),
        Case("LoRA of a recipe", "e.yaml", "takes no lora", "models of that recipe",
             ("models: {a: {path: e.yaml, lora: x/y}, b: {path: ../b}}",),
             extra={"e.yaml": "experiment"}),
        Case("too many models", "expect", "exactly 2 models, got 3", "models:",
             ("template: slerp",), file="slerp.yaml.j2"),
        Case("only the base", "without", "not the base", "base:",
             ("template: ties", "models: {a: {path: ../a}}", "base:"), file="ties.yaml.j2"),
        Case("depth of an architecture mergekit does not know", "template", "cannot change its",
             "keep the depth",
             ("models: {a: {path: ../strange}}", "base:", "template: ./t.yaml.j2"),
             body="merge_method: passthrough\nslices:\n"
             "  - sources: [{model: models/src/a, layer_range: [0, 3]}]\n"
             "  - sources: [{model: models/src/a, layer_range: [1, 4]}]\n",
             methods="passthrough"),
    ]  # fmt: skip


def header_cases() -> list[Case]:
    """Template files that are wrong before anything is rendered."""
    t = "t.yaml.j2"
    return [
        Case("template without a body", "", "a line '---'", "evomerge ls", file=t,
             header="summary: x\n"),
        Case("unknown header key", "gens", "unknown key 'gens'", "'genes'", file=t,
             header="summary: x\nmethods: [linear]\ngens: {}\ngenes: {}\n---\nx: 1\n"),
        Case("missing header key", "", "no 'methods'", "", file=t,
             header="summary: x\ngenes: {}\n---\nx: 1\n"),
        Case("unknown role of the base", "orgin", "unknown role 'orgin'", "'origin'", file=t,
             header="summary: x\nmethods: [linear]\nbase: orgin\ngenes: {}\n---\nx: 1\n"),
        Case("undeclared kind of gene", "flot", "unknown key 'flot'", "'float'", file=t,
             header="summary: x\nmethods: [linear]\ngenes: {w: {flot: [0, 1]}}\n---\nx: 1\n"),
    ]  # fmt: skip


def body_cases() -> list[Case]:
    """Template bodies that fail, or print what mergekit would misread."""

    def own(name: str, body: str, at: str, says: str, help: str = "", **more: object) -> Case:
        more.setdefault("file", "t.yaml.j2")
        return Case(name, at, says, help, ("template: ./t.yaml.j2",), body, **more)  # type: ignore[arg-type]

    return [
        own("undefined gene", LINEAR.replace("0.5", "{{ g.wieght }}"), "g.wieght", "wieght"),
        own("broken Jinja", LINEAR + "{% if x %}\n", "{% if x %}", "Unexpected end"),
        own("way out of the sandbox", LINEAR + "# {{ ''.__class__.__mro__ }}\n", "__mro__",
            "unsafe"),
        own("endless range", LINEAR + "# {{ range(1000000) }}\n", "range(1000000)",
            "more than a merge"),
        own("text that is no YAML", LINEAR + "parameters: [\n", "parameters: [", "not valid YAML"),
        own("printed duplicate key", LINEAR + "dtype: float32\ndtype: float16\n",
            "dtype: float16", "duplicate key 'dtype'", "keep one"),
        own("printed nothing", "# nothing\n", "# nothing", "expected a mapping", "'---'"),
        own("unknown key of a document", LINEAR + "paramaters: {normalize: true}\n", "paramaters",
            "unknown key 'paramaters'", "'parameters'"),
        own("key with a capital", LINEAR + "Parameters: {normalize: true}\n", "Parameters",
            "unknown key 'Parameters'", "'parameters'"),
        own("misspelt dtype key", LINEAR + "dype: float32\n", "dype", "unknown key 'dype'",
            "'dtype'"),
        own("unknown dtype", LINEAR + "dtype: float23\n", "float23", "unknown dtype 'float23'",
            "'float32'"),
        own("unknown method", LINEAR.replace("linear", "dare-ties"), "dare-ties",
            "no merge_method 'dare-ties'", "'dare_ties'"),
        own("no method", LINEAR.replace("merge_method: linear\n", ""), "models",
            "no merge_method", "add merge_method"),
        own("method the header does not list", LINEAR, "merge_method",
            "does not list 'linear'", "add linear", methods="ties"),
        own("misspelt parameter", LINEAR.replace("weight: 0.5}}\n  -", "wieght: 0.5}}\n  -"),
            "wieght", "no parameter 'wieght'", "'weight'"),
        own("parameter of another method",
            "merge_method: slerp\nbase_model: models/src/a\nmodels:\n"
            "  - model: models/src/a\n  - model: models/src/b\n"
            "parameters: {t: 0.5, density: 0.5}\n",
            "density", "slerp has no parameter 'density'", "expected one of: t"),
        own("missing parameter", LINEAR.replace(", parameters: {weight: 0.5}", "", 1),
            "merge_method", "linear needs weight", "add parameters"),
        own("parameter that nothing reads",
            TIES.replace("ties", "task_arithmetic"), "density", "density does nothing here",
            "leave it out"),
        own("shared parameter at a model", TIES.replace("weight: 0.5,", "lambda: 2, weight: 0.5,",
            1), "lambda", "one value for all models", "document's"),
        own("parameter of the base",
            TIES.replace("models:\n",
                         "models:\n  - {model: models/src/base, parameters: {weight: 1}}\n"),
            "weight: 1", "not read for the base", "leave it out"),
        own("truth for a number", LINEAR.replace("0.5}}\n  -", "true}}\n  -"), "true",
            "weight is a number, got true"),
        own("word for a number", LINEAR.replace("0.5}}\n  -", "half}}\n  -"), "half",
            "weight is a number, got 'half'"),
        own("number for a truth", LINEAR + "parameters: {normalize: 1}\n", "normalize: 1",
            "normalize is true or false, got 1"),
        own("yes, which YAML 1.1 takes for true", LINEAR + "parameters: {normalize: yes}\n",
            "normalize: yes", "normalize is true or false, got 'yes'"),
        own("zero-sum weights", LINEAR.replace("0.5", "-0.5", 1), "-0.5",
            "sum to 0 (-0.5 + 0.5)", "another weight"),
        own("zero-sum weights of one kind of tensor",
            LINEAR.replace("weight: 0.5", "weight: [{filter: mlp, value: -0.5}, {value: 0.5}]", 1),
            "mlp", "sum to 0", "another weight"),
        own("all weights zero", LINEAR.replace("0.5", "0") + "parameters: {normalize: false}\n",
            "weight: 0", "nothing is left", "another weight"),
        own("zero-sum weights of ties", TIES.replace("weight: 0.5", "weight: -0.5", 1), "-0.5",
            "in silence", "another weight"),
        own("negative density", TIES.replace("density: 0.5", "density: -0.5", 1), "-0.5",
            "density of ties is above 0 and up to 1, got -0.5"),
        own("density above one", TIES.replace("density: 0.5", "density: 1.5", 1), "1.5",
            "got 1.5"),
        own("density that skips the draw",
            TIES.replace("ties", "dare_ties").replace("density: 0.5", "density: 1", 1),
            "density: 1", "draws no random numbers"),
        own("epsilon beyond density",
            TIES.replace("ties", "della").replace("density: 0.5", "density: 0.1", 1),
            "0.1", "density 0.1 ± epsilon 0.15", "epsilon below 0.1"),
        own("outliers beyond density",
            TIES.replace("ties", "breadcrumbs").replace("density: 0.5", "density: 0.95, gamma: "
            "0.1", 1), "gamma: 0.1", "together above 1", "at most 0.9"),
        own("t beyond the models",
            "merge_method: slerp\nbase_model: models/src/a\nmodels:\n"
            "  - model: models/src/a\n  - model: models/src/b\nparameters: {t: 1.5}\n",
            "t: 1.5", "t of slerp is from 0 to 1, got 1.5"),
        own("switch that another switch hides",
            "merge_method: nuslerp\nmodels:\n"
            "  - {model: models/src/a, parameters: {weight: 0.5}}\n"
            "  - {model: models/src/b, parameters: {weight: 0.5}}\n"
            "parameters: {nuslerp_row_wise: true}\n",
            "nuslerp_row_wise", "does nothing while", "nuslerp_flatten: false"),
        own("filter that matches nothing",
            LINEAR.replace("weight: 0.5", "weight: [{filter: self_atn, value: 0.1}, "
            "{value: 0.5}]", 1), "self_atn", "no tensor has 'self_atn'", "'self_attn'"),
        Case("filter of one layer that takes ten", "layers.1,", "also takes layer 10",
             "layers.1. with a dot",
             ("template: ./t.yaml.j2", "models: {a: {path: ../tall}, b: {path: ../tall}}",
              "base:"),
             LINEAR.replace("weight: 0.5", "weight: [{filter: layers.1, value: 0.1}, "
                            "{value: 0.5}]", 1), file="t.yaml.j2"),
        own("value behind a catch-all",
            LINEAR.replace("weight: 0.5", "weight: [{value: 0.5}, {filter: mlp, value: 0.1}]", 1),
            "0.1", "never read", "in order"),
        own("value that a nearer one hides", LINEAR + "parameters: {weight: 0.5}\n",
            "parameters: {weight: 0.5}", "never read", "before the document's"),
        own("unknown key of a setting",
            LINEAR.replace("weight: 0.5", "weight: [{filer: mlp, value: 0.1}, {value: 0.5}]", 1),
            "filer", "unknown key 'filer'", "'filter'"),
        own("setting without a value",
            LINEAR.replace("weight: 0.5", "weight: [{filter: mlp}, {value: 0.5}]", 1),
            "filter: mlp", "has no value", "{filter: mlp, value: 0.5}"),
        own("empty gradient", LINEAR.replace("weight: 0.5", "weight: []", 1), "[]", "empty list"),
        own("gradient on embedding and head", LINEAR.replace("0.5", "[0, 1]", 1), "[0, 1]",
            "reaches model.embed_tokens.weight", "embed_tokens"),
        own("gradient that starts anew in each slice",
            SLICES.replace(", parameters: {weight: 0.5}", "").replace(
                "{normalize: false}", "{normalize: false, weight: [0.1, 0.9]}"),
            "[0.1, 0.9]", "anew in each slice", "own values"),
        own("base that becomes an input",
            "base_model: models/src/base\n" + LINEAR, "base_model",
            "as one more input", "leave base_model out"),
        own("no base", TIES.replace("base_model: models/src/base\n", ""), "merge_method",
            "ties needs a base_model", "base_model: {{ base.ref }}"),
        own("base that a slice lacks",
            SLICES.replace("linear", "ties").replace("parameters: {normalize: false}\n",
            "base_model: models/src/base\n"), "- sources", "no source of this slice", "list it"),
        own("third model of a pair",
            "merge_method: slerp\nbase_model: models/src/a\nmodels:\n"
            "  - model: models/src/a\n  - model: models/src/b\n  - model: models/src/c\n"
            "parameters: {t: 0.5}\n", "models", "exactly 2 inputs, got 3", "models of the recipe"),
        own("a base alone", "merge_method: ties\nbase_model: models/src/base\nmodels:\n"
            "  - model: models/src/base\n", "models", "at least 1 inputs besides the base",
            "models of the recipe"),
        own("a model twice", LINEAR.replace("src/b", "src/a"), "models", "listed twice",
            "each model once"),
        own("a model the recipe does not have", LINEAR.replace("src/b", "src/bb"), "src/bb",
            "no model of the recipe", "models/src/b"),
        own("a path of its own", LINEAR.replace("models/src/b", "/tmp/elsewhere"), "elsewhere",
            "no model of the recipe"),
        own("models and slices", SLICES + "models:\n  - model: models/src/a\n", "models",
            "got both", "one of them"),
        own("neither models nor slices", "merge_method: linear\n", "merge_method", "got neither",
            "one of them"),
        own("reversed layer range", SLICES.replace("[0, 2]", "[3, 1]"), "[3, 1]",
            "[3, 1] holds no layer", "last + 1"),
        own("empty layer range", SLICES.replace("[0, 2]", "[0, 0]"), "[0, 0]", "holds no layer"),
        own("overlong layer range", SLICES.replace("[2, 4]", "[2, 9]"), "[2, 9]",
            "beyond the 4 layers", "last layer is 3"),
        own("layer range of words", SLICES.replace("[0, 2]", "[first, last]"), "[first, last]",
            "whole numbers"),
        own("unequal layer ranges", SLICES.replace("src/b, layer_range: [0, 2]",
            "src/b, layer_range: [0, 3]"), "- sources", "2 and 3 layers", "same number"),
        own("fewer sources first",
            SLICES.replace("      - {model: models/src/b, layer_range: [0, 2], parameters: "
            "{weight: 0.5}}\n", ""), "- sources", "drops the others", "weight 0"),
        own("dead field of a slice", SLICES.replace("  - sources:\n      - {model: models/src/a, "
            "layer_range: [2", "  - residual_weight: 0.5\n    sources:\n      - {model: "
            "models/src/a, layer_range: [2"), "residual_weight", "not for templates",
            "does nothing"),
        own("modules", "merge_method: linear\nmodules: {default: {}}\n", "modules",
            "not for templates", "models: or slices:"),
        own("tokenizer chosen in a template", LINEAR + "tokenizer_source: union\n",
            "tokenizer_source", "not for templates", "tokenizer:"),
        own("chat template chosen in a template", LINEAR + "chat_template: auto\n",
            "chat_template", "not for templates", "chat_template:"),
        own("stage named like a method", STAGES.replace("s1", "linear"), "merge_method",
            "also the name of a stage", "s1, s2"),
        own("stage named like a filter",
            STAGES.replace("s1", "mlp").replace("weight: 0.5", "weight: [{filter: mlp, value: "
            "0.1}, {value: 0.5}]", 1), "filter: mlp", "also the name of a stage", "s1, s2"),
        own("stage named twice", "name: s1\n" + LINEAR + "---\n" + STAGES, "name: s1",
            "cannot name a stage", "each name once"),
        own("stage without a name", LINEAR + "---\n" + LINEAR, "merge_method", "has no name",
            "name: s1"),
        own("last stage with a name", "name: s9\n" + LINEAR, "name: s9", "is named 's9'",
            "leave name: out"),
        own("stage named as the result", STAGES.replace("s1", "final"), "name: final",
            "cannot name a stage"),
        own("stage that nothing reads", STAGES.replace("{model: s1,", "{model: models/src/a,"),
            "name: s1", "nothing reads stage 's1'", "leave the document out"),
        own("stage before it is made",
            STAGES.replace("model: models/src/a", "model: s2").replace("---\n", "---\nname: s2\n"
            + LINEAR + "---\n", 1), "model: s2", "no earlier stage"),
        Case("gene that no line reads", "unread", "'unread' changes nothing", "leave it out",
             ("template: ./t.yaml.j2", "kind: experiment", SCORED,
              "genome: {unread: {float: [0, 1]}}"),
             LINEAR, genes="unread: {float: [0, 1]}"),
        Case("gene of the template that no line reads", "summary", "'unread' changes nothing",
             "leave it out", ("template: ./t.yaml.j2", "kind: experiment", SCORED),
             LINEAR, genes="unread: {float: [0, 1]}", file="t.yaml.j2"),
        Case("value of a gene that no line reads", "w: {float", "w.c changes nothing", "",
             ("template: ./t.yaml.j2", "kind: experiment", SCORED,
              "genome:", "  w: {float: [0.1, 1], per: model}"),
             LINEAR.replace("0.5", "{{ g.w.a }}", 1).replace("0.5", "{{ g.w.b }}"),
             genes="w: {float: [0.1, 1], per: model}"),
        Case("gene that leaves a parameter's domain", "d: 1.5", "(gene d)", "",
             ("template: ./t.yaml.j2", "genome:", "  d: 1.5"),
             TIES.replace("density: 0.5", "density: {{ g.d }}"), genes="d: {float: [0, 2]}"),
        Case("shared parameter with a value a model", "layout.inputs", "one value for all models",
             "layer_group", ("template: slerp", "kind: experiment", SCORED,
             "models: {a: {path: ../a}, b: {path: ../b}}",
             "genome: {t: {float: [0, 1], per: model}}"), file="slerp.yaml.j2"),
    ]  # fmt: skip


def all_cases() -> list[Case]:
    """The whole table."""
    return [*recipe_cases(), *model_cases(), *header_cases(), *body_cases()]
