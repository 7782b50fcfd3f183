"""The pipelines that come with Reelwork; others are found by the entry point group `reelwork.pipelines`."""
