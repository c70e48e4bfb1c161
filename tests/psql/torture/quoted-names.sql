SELECT "a;b", "A--b", "/*", "$$", "it's"; SELECT "x";
