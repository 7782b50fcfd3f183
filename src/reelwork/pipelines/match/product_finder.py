"""Finds the products of a job, fetches their pictures, and announces how many there really are before the first.

A picture is kept as it came, by content; those behind decode it with the same care.
"""

from __future__ import annotations

import hashlib
from typing import Any

from reelwork.events import (
    ImageLocation,
    ProductFound,
    ProductsCollectionsCompleted,
    ProductsCollectRequest,
    ProductsFoundBatch,
    ProductsImageReady,
    ProductsImagesReadyBatch,
)
from reelwork.ledger import AssetState
from reelwork.objects.keys import image_key, inputs_prefix, stage_output_key
from reelwork.pipelines.match.collected import CollectedImage, CollectedProduct, product_at
from reelwork.pipelines.match.notes import store_notes
from reelwork.pipelines.match.parameters import access_of
from reelwork.pipelines.match.sources import BrokenEntry, ImageRef, Product, list_products, load_source
from reelwork.pipelines.match.stages import PRODUCTS, every_outcome
from reelwork.pipelines.match.titles import products_called_apart
from reelwork.runtime import Context, Service

product_finder = Service("product-finder")


@product_finder.on(ProductsCollectRequest, queue="q.product_finder.collect.request")
def handle_products_collect_request(event: ProductsCollectRequest, context: Context) -> None:
    products, broken = [], []
    for found in list_products(map(load_source, event.sources), access_of(context.job)):
        context.raise_if_cancelled()
        if isinstance(found, BrokenEntry):
            broken.append(str(found))
        else:
            products.append(found)
    store_notes(context.objects, event.job_id, "products", broken)
    context.emit(ProductsFoundBatch(job_id=event.job_id, event_id=context.new_id(), total_products=len(products)))
    for number, product in enumerate(products_called_apart(products)):
        context.emit(
            ProductFound(
                job_id=event.job_id,
                event_id=context.new_id(),
                number=number,
                product_id=product.product_id,
                title=product.title,
                images=tuple(ImageLocation(image_id=i.image_id, location=i.location) for i in product.images),
            )
        )


@product_finder.stage(
    PRODUCTS, announced_by=ProductsFoundBatch, completes_with=ProductsCollectionsCompleted, policy=every_outcome()
)
@product_finder.on(ProductFound, queue="q.product_finder.products")
def handle_product_found(event: ProductFound, context: Context) -> dict[str, Any]:
    from reelwork.pipelines.match.sources.images import fetch_images

    images = tuple(ImageRef(image.image_id, image.location) for image in event.images)
    product = Product(event.product_id, event.title, images)
    kept: list[CollectedImage] = []
    refused: list[str] = []
    uploads = inputs_prefix(event.job_id)
    for fetched in fetch_images(product, access_of(context.job), context.objects, uploads_prefix=uploads):
        context.raise_if_cancelled()
        if isinstance(fetched, BrokenEntry):
            refused.append(str(fetched))
            continue
        key = image_key(hashlib.sha256(fetched.data).hexdigest())
        context.objects.put(key, fetched.data)
        kept.append(CollectedImage(image_id=fetched.image_id, key=key))
    collected = CollectedProduct(title=event.title, images=tuple(kept), refused=tuple(refused))
    key = stage_output_key(event.job_id, PRODUCTS, f"{event.number:06d}", context.attempt)
    context.objects.put(key, collected.to_bytes())
    context.weigh(len(kept))
    return {"key": key, "images": len(kept), "refused": len(refused)}


@product_finder.on(ProductsCollectionsCompleted, queue="q.product_finder.collections.completed")
def handle_products_collections_completed(event: ProductsCollectionsCompleted, context: Context) -> None:
    """Announces what there is, then sends it out."""
    collected = context.ledger.assets(event.job_id, PRODUCTS, states=[AssetState.DONE], include_late=False)
    products = [(asset.asset_id, product_at(context.objects, asset.result)) for asset in collected]
    total = sum(len(product.images) for _, product in products)
    context.emit(ProductsImagesReadyBatch(job_id=event.job_id, event_id=context.new_id(), total_images=total))
    for product_id, product in products:
        for image in product.images:
            context.emit(
                ProductsImageReady(
                    job_id=event.job_id,
                    event_id=context.new_id(),
                    product_id=product_id,
                    image_id=image.image_id,
                    key=image.key,
                )
            )
