"""Detection on COCO: a RetinaNet over a searched network, trained and measured (extra `detection`)."""
