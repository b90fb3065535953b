import os

from django.conf import settings
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from redis import Redis
from rq import Queue

from shop.models import Order


def health(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok")


def orders(request):
    if request.method == "POST":
        order = Order.objects.create(text=request.body.decode()[:100])
        Queue(connection=Redis.from_url(settings.REDIS_URL)).enqueue("shop.tasks.ship", order.id)
        return JsonResponse({"id": order.id}, status=201)
    return JsonResponse({"count": Order.objects.count(), "shipped": Order.objects.filter(shipped=True).count()})


def version(request):
    return HttpResponse(os.environ.get("VERSION", "1"))


urlpatterns = [path("healthz", health), path("orders", orders), path("version", version)]
