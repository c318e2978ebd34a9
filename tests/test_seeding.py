from mfr_kit.seeding import key_of, rng_for


def test_a_sample_draws_the_same_everywhere_and_neighbours_differ():
    draws = {
        key: tuple(rng_for(*key).integers(0, 2**32, 4))
        for key in ((0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1))
    }
    assert len(set(draws.values())) == 4
    assert draws[0, 1, 2] == tuple(rng_for(0, 1, 2).integers(0, 2**32, 4))


def test_keys_of_names_never_change():
    assert key_of("p/1.jpg") == 4390144674259218305
