from dataclasses import replace

import pytest

from bloodlib.gan.config import PRESETS, GanConfig, Stage, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    assert GanConfig.from_dict(PRESETS[name].to_dict()) == PRESETS[name]


def test_the_paper_preset_is_the_papers():
    paper = PRESETS["paper"]
    assert [(stage.shape, stage.epochs, stage.crop) for stage in paper.stages] == [
        ((640, 1024), 120, None),
        ((1200, 1920), 120, None),
    ]
    assert (paper.filters, paper.clusters, paper.discriminators) == (16, 10, 2)
    assert (paper.upsample, paper.perceptual, paper.style_draw) == ("transposed", "vgg19", "independent")
    assert paper.stages[0].step_count(60) == 120 * 60
    assert (paper.learning_rate, paper.betas, paper.flips, paper.blocks) == (2e-4, (0.5, 0.999), True, 9)
    assert all((stage.batch, stage.constant) == (1, 0.5) for stage in paper.stages)
    assert (paper.gan_loss, paper.lambda_feature_matching, paper.lambda_perceptual) == ("lsgan", 10.0, 10.0)
    ours = (
        "skips",
        "noise",
        "objects",
        "camera",
        "rotations",
        "feature_skip",
        "average",
        "lambda_colour",
        "softness_px",
    )
    assert not any(getattr(paper, name) for name in ours)


def test_the_digest_tells_what_decides_the_result_and_nothing_else():
    config = PRESETS["smoke"]
    assert config.digest(seed=0) == replace(config, checkpoint_every=1, preview_every=7).digest(seed=0)
    assert config.digest(seed=0) != config.digest(seed=1)
    stages = (config.stages[0], Stage(crop=128, steps=17))
    different = [config, replace(config, gan_loss="log"), replace(config, stages=stages)]
    assert len({c.digest() for c in different}) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"upsample": "bilinear"}, "upsample is 'bilinear'; it can be transposed, resize"),
        ({"gan_loss": "wgan"}, "lsgan, log"),
        ({"precision": "float16"}, "auto, float32, bfloat16"),
        ({"stages": (Stage(steps=1),)}, "needed are two"),
        ({"stages": (Stage(), Stage(steps=1))}, "exactly one of them"),
        ({"stages": (Stage(crop=100, steps=1), Stage(steps=1))}, "multiple of 16"),
        ({"softness_px": -1.0}, r"softness_px is -1.0; it can be 0 \(as drawn\)"),
        ({"softness_px": float("nan")}, "softness_px is nan"),
        ({"colour": 3}, "unknown setting 'colour'"),
    ],
)
def test_wrong_settings_are_refused_by_name(change, says):
    with pytest.raises(ValueError, match=says):
        preset("smoke", **change)


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(ValueError, match="smoke, laptop, paper"):
        preset("huge")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"clusters": 0}, "clusters is 0; it can be 1 or more"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0; it can be 1 or more"),
        ({"preview_every": -1}, "preview_every is -1; it can be 0 or more"),
        ({"halvings": 5}, "halvings is 5; it can be 1 to 4"),
        ({"stages": 2 * (Stage(steps=1, constant=1.5),)}, "a stage has batch 1 and constant 1.5; needed are 1 or more"),
        ({"stages": 2 * (Stage(steps=1, batch=0),)}, "a stage has batch 0 and constant 0.5; needed are 1 or more"),
    ],
)
def test_what_would_fail_after_hours_is_refused_before(setting, said):
    with pytest.raises(ValueError, match=said):
        preset("paper", **setting)


def test_the_frozen_encoder_sees_the_size_of_the_first_stage_in_the_papers_profile_alone():
    assert PRESETS["paper"].encoder_scale == (640 / 1200, 1024 / 1920)
    assert PRESETS["laptop"].encoder_scale is PRESETS["smoke"].encoder_scale is None
    assert replace(PRESETS["paper"], encoder_stage=2).encoder_scale is None
    with pytest.raises(ValueError, match="encoder_stage is 3; it can be 1 to 2"):
        preset("paper", encoder_stage=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("filters", 0), ("blocks", -1), ("feature_channels", 0), ("discriminators", 0), ("cell_classes", 0)],
)
def test_sizes_that_no_network_has_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} is {value}; it can be \d or more"):
        preset("smoke", **{name: value})


@pytest.mark.parametrize("budget", [{"steps": 0}, {"steps": -1}, {"epochs": 0}])
def test_a_stage_has_a_step_at_least(budget):
    stage = Stage(crop=32, **budget)
    with pytest.raises(ValueError, match="needed is 1 or more"):
        preset("smoke", stages=(stage, stage))
