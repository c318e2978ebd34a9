"""What a track's zip holds, one layout a file, found by folder.

Each has `MODEL`, the recogniser's name in the zip (None where none is sent), `files(request) ->
dict[str, Path | bytes]`, and, where there is more to look at than the model, `inspect(folder) ->
list[Row]` over an unpacked package.
"""
